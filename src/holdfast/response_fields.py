"""The fields about caching that `@cache_response` gives a response: checked once, and merged with what is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from holdfast._current import checked_tags
from holdfast._durations import seconds
from holdfast.errors import ConfigurationError
from holdfast.typing import Duration

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_WORDS: Final = ("Cache-Control", "Expires")
"""What a view has said about freshness itself; one of them is enough."""
_DIGEST_BYTES: Final = 16
_OURS: Final = b"cache_response"
"""Tells the ETag of a view from one that the cache has made, which the app would not know."""


class Ages(NamedTuple):
    """How long a response may be used, as a user says it."""

    ttl: Duration | None
    shared: Duration | None
    stale_while_revalidate: Duration | None
    stale_if_error: Duration | None


@dataclass(frozen=True, slots=True)
class ResponseFields:
    """What all responses of one view get, checked."""

    cache_control: str
    """Empty: none is set."""
    vary: tuple[str, ...]
    tags: tuple[str, ...]
    """Templates."""
    etag: bool

    @classmethod
    def of(
        cls, ages: Ages, *, private: bool, vary: Iterable[str], tags: Iterable[str], etag: bool, no_store: bool
    ) -> ResponseFields:
        """Check what a user says.

        Raises:
            ConfigurationError: options that cannot work, alone or together; the message says what to change.
        """
        names, templates = _names(vary), checked_tags(tags, "tags=")
        if no_store:
            _refuse_beside_no_store(**ages._asdict(), private=private, vary=names, tags=templates, etag=etag)
            return cls("no-store", (), (), False)
        if private:
            _refuse_beside_private(shared=ages.shared, tags=templates)
        fresh = ages.ttl is not None or ages.shared is not None
        for name, stale in list(ages._asdict().items())[2:]:
            if stale is not None and not fresh:
                msg = f"{name}= begins when a response is no longer fresh: give ttl= or shared=, too"
                raise ConfigurationError(msg)
        if not (fresh or private or names or templates or etag):
            msg = "@cache_response has nothing to set: give ttl=, as in @cache_response('5m'), or no_store=True"
            raise ConfigurationError(msg)
        return cls(_cache_control(ages, private=private), names, templates, etag)

    def set_on(self, response: Any, tags: Sequence[str], *, whole: bool) -> None:
        """Set the fields of a response, unless it is an error.

        What the view itself has said of freshness stays; `Vary` and `Cache-Tag` are added to.

        Args:
            response: one of Starlette, werkzeug or Django, or the one whose fields FastAPI takes over.
            tags: as they are written in the field.
            whole: whether the response has its body, too.
        """
        if (response.status_code or 200) >= 400:
            return
        headers = response.headers
        if self.cache_control and not any(name in headers for name in _OWN_WORDS):
            headers["Cache-Control"] = self.cache_control
        _add(headers, "Vary", self.vary)
        _add(headers, "Cache-Tag", tags)
        if self.etag and whole and response.status_code == 200 and "ETag" not in headers:
            body = _body_of(response)
            if body is not None:
                headers["ETag"] = f'"{blake2b(body, digest_size=_DIGEST_BYTES, person=_OURS).hexdigest()}"'


def _names(vary: Iterable[str]) -> tuple[str, ...]:
    given: object = vary
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f'vary= must be several names of fields, such as ["Accept-Language"], not {given!r}'
        raise ConfigurationError(msg)
    names = tuple(vary)
    for name in names:
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f'vary= must be names of request fields, such as "Accept-Language"; {name!r} is none'
            raise ConfigurationError(msg)
    return names


def _refuse_beside_no_store(**given: object) -> None:
    for name, value in given.items():
        if value is not None and value is not False and value != ():
            msg = f"no_store=True says that nothing is kept, and {name}= says how: leave one of them out"
            raise ConfigurationError(msg)


def _refuse_beside_private(*, shared: Duration | None, tags: tuple[str, ...]) -> None:
    if shared is not None:
        msg = "shared= is for caches that many users share, and private=True forbids these: leave one of them out"
        raise ConfigurationError(msg)
    if tags:
        msg = "tags= invalidate what a shared cache keeps, and private=True forbids it to: leave one of them out"
        raise ConfigurationError(msg)


def _cache_control(ages: Ages, *, private: bool) -> str:
    directives = {
        "max-age": _whole("ttl", ages.ttl),
        "s-maxage": _whole("shared", ages.shared),
        "stale-while-revalidate": _whole("stale_while_revalidate", ages.stale_while_revalidate),
        "stale-if-error": _whole("stale_if_error", ages.stale_if_error),
    }
    scope = ["private"] if private else []
    return ", ".join(scope + [f"{name}={value}" for name, value in directives.items() if value is not None])


def _whole(name: str, duration: Duration | None) -> int | None:
    """Return whole seconds, which is what the directives count in, rounded down."""
    if duration is None:
        return None
    value = seconds(duration, name, zero=True)
    if 0 < value < 1:
        msg = f"{name}={duration!r} is shorter than a second, and HTTP counts whole ones: give '1s' or more, or 0"
        raise ConfigurationError(msg)
    return int(value)


def _add(headers: Any, name: str, members: Sequence[str]) -> None:
    """Add to a field that is a list what is not there yet. Names of fields in `Vary` are compared without case."""
    if not members:
        return
    one_line = [headers[name]] if name in headers else []
    lines = headers.getlist(name) if hasattr(headers, "getlist") else one_line
    held = [member.strip() for line in lines for member in line.split(",") if member.strip()]
    same = str.lower if name == "Vary" else str
    merged = {same(member): member for member in held}
    count = len(merged)
    for member in members:
        merged.setdefault(same(member), member)
    if name == "Vary" and "*" in merged:
        headers[name] = "*"
    elif len(merged) > count:
        headers[name] = ", ".join(merged.values())


def _body_of(response: Any) -> bytes | None:
    """Return the body, where it is known before it is sent."""
    if hasattr(response, "is_sequence"):  # werkzeug
        return response.get_data() if response.is_sequence and not response.direct_passthrough else None
    body = getattr(response, "body", None)  # Starlette
    if body is None and not getattr(response, "streaming", True):  # Django
        body = response.content
    return None if body is None else bytes(body)
