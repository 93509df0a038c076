"""Which paths are private, however they are written.

An app may read a path in other ways than a cache does: it decodes it, drops what stands behind a semicolon, ignores
case, resolves dots. Whoever gets a private page stored under a path that does not look private can fetch it (web cache
deception). So a path is private if any of its readings is; to be private without need costs a hit and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import unquote

_END: Final = re.compile(r"[;?#\x00-\x1f].*", re.DOTALL)
_DECODED: Final = 3
"""How often a path is decoded: proxies and apps may each do it once."""


def is_private(path: str, patterns: Sequence[str]) -> bool:
    """Say whether a path is in one of the private areas.

    Args:
        path: as it was sent.
        patterns: paths, with all below them, or patterns with ``*``, ``?`` or ``[``.
    """
    readings = set(_readings(path))
    return any(_is_within(reading, pattern.casefold()) for pattern in patterns for reading in readings)


def _readings(path: str) -> Iterable[str]:
    form = path
    for _ in range(_DECODED):
        plain = form.casefold().replace("\\", "/")
        yield form.casefold()
        yield plain
        yield _resolved(plain, cut=False)
        yield _resolved(plain, cut=True)
        yield _END.sub("", form.casefold())  # to some, all that follows belongs to the parameter
        for text in (unquote(form), _as_bytes(form)):  # as an app decodes it, and byte for byte
            if text != form:
                yield from (text.casefold(), _resolved(text.casefold(), cut=True))
        decoded = unquote(form, "latin-1")
        if decoded == form:
            return
        form = decoded


def _as_bytes(form: str) -> str:
    """Return a path that was sent as bytes of UTF-8, which servers give as latin-1, as its text."""
    return form.encode("latin-1", "replace").decode("utf-8", "replace")


def _resolved(path: str, *, cut: bool) -> str:
    """Return a path without empty and dot segments; with `cut`, each segment ends at its first sign of parameters."""
    kept: list[str] = []
    for segment in path.split("/"):
        name = _END.sub("", segment) if cut else segment
        if name == "..":
            del kept[-1:]
        elif name not in {"", "."}:
            kept.append(name)
    return "/" + "/".join(kept)


def _is_within(path: str, pattern: str) -> bool:
    if any(sign in pattern for sign in "*?["):
        return fnmatchcase(path, pattern)
    start = pattern.rstrip("/")
    return path == start or path.startswith(f"{start}/")
