"""Lua scripts, one ``.lua`` file each, and the value that names one.

Every file opens with its keys, arguments, reply and complexity. All keys come in KEYS and share one slot; time is
Redis TIME; nothing uses cmsgpack or redis.sha1hex, which the embedded backend lacks.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from holdfast.commands import Command, Word


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its text, and the digest under which Redis remembers it."""

    name: str
    source: str = field(repr=False)
    digest: str
    repeatable: bool

    def command(self, keys: Sequence[str], arguments: Sequence[Word] = (), patience: float | None = None) -> Command:
        """Return the call of this script: EVALSHA, with EVAL as what to send if the server does not know it.

        Args:
            keys: KEYS.
            arguments: ARGV.
            patience: seconds after which its caller gives up.
        """
        tail = (len(keys), *keys, *arguments)
        words, whole = ("EVALSHA", self.digest, *tail), ("EVAL", self.source, *tail)
        # By position: that takes half of the time, in the most frequent calls of all.
        return Command(words, tuple(keys), self.repeatable, "", None, whole, self.name, patience)


@functools.cache
def load(name: str, *, repeatable: bool = False) -> Script:
    """Return the script in ``<name>.lua``. Say `repeatable` only of one that may be executed twice."""
    return compose(name, (name,), repeatable=repeatable)


@functools.cache
def compose(name: str, parts: tuple[str, ...], *, repeatable: bool = False) -> Script:
    """Return the script that several files make, one after the other, each without ``.lua``."""
    source = "\n".join(files(__name__).joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in parts)
    digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, digest, repeatable)
