"""Which paths a limit or an exemption means: whoever writes a path in another way must gain nothing.

An app may read a path in other ways than a middleware does. So what a rule limits, it limits by any reading of the
path, and what is exempt is so only where there is no other reading. For the same reason what is limited is so with all
below it, also where a pattern says it; an exemption is as narrow as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

from holdfast.errors import ConfigurationError
from holdfast.web.http_private import is_private

_AMBIGUOUS: Final = re.compile(r"//|/\.{1,2}(?:/|\Z)|[%;\\?#\x00-\x1f\x7f]")
_WILD: Final = re.compile(r"[*?\[]")


class _Listed:
    """Paths and patterns, compared sign by sign.

    Args:
        given: the paths, each with all below it.
        alone: those with nothing below them.
    """

    __slots__ = ("_exact", "_patterns", "_starts")

    def __init__(self, given: Iterable[str], alone: Iterable[str] = ()) -> None:
        listed = tuple(given)
        self._patterns = tuple(path for path in listed if _WILD.search(path))
        plain = [path.rstrip("/") for path in listed if not _WILD.search(path)]
        self._exact = frozenset([*plain, *(path or "/" for path in plain), *alone])
        self._starts = tuple(f"{path}/" for path in plain)

    def has(self, path: str) -> bool:
        """Say whether a path is one of these, or below one."""
        if path in self._exact or path.startswith(self._starts):
            return True
        return any(fnmatchcase(path, pattern) for pattern in self._patterns)


class Paths:
    """Some paths, each with all below it, and patterns with ``*``, ``?`` or ``[``."""

    __slots__ = ("_folded", "_narrow", "_wide", "_with_below", "given")

    def __init__(self, given: tuple[str, ...]) -> None:
        self.given = given
        below = [f"{path.rstrip('/')}/*" for path in given if _WILD.search(path) and not path.endswith("*")]
        self._with_below = (*given, *below)  # an app may take "/shop/7/pay/" for "/shop/7/pay"
        self._wide = _Listed(self._with_below)
        self._folded = _Listed(path.casefold() for path in self._with_below)
        roots = [path for path in given if not path.strip("/")]  # of those who exempt the home page
        self._narrow = _Listed([path for path in given if path.strip("/")], roots)

    @classmethod
    def of(cls, given: Any, option: str) -> Paths:
        """Return the paths that a user means.

        Raises:
            ConfigurationError: one is no path.
        """
        texts = texts_of(given, option, "['/login']")
        for path in texts:
            if not path.startswith(("/", "*")):
                msg = f"{option}={given!r} must be paths, such as ['/login'], or patterns, such as ['/shop/*/pay']"
                raise ConfigurationError(msg)
        return cls(texts)

    def __bool__(self) -> bool:
        return bool(self.given)

    def may_be(self, path: str) -> bool:
        """Say whether a path is one of these in any way in which an app may read it, whatever the case of its letters.

        Also below what a pattern means: many apps answer a path and the same with a slash behind it alike.

        Args:
            path: percent-decoded, as apps get it.
        """
        if self._wide.has(path):
            return True
        if path.isascii() and not _AMBIGUOUS.search(path):
            return self._folded.has(path.casefold())
        return is_private(path, self._with_below)

    def are_certainly(self, path: str) -> bool:
        """Say whether a path is one of these, and can be read in no other way; of ``/`` nothing else is.

        Args:
            path: percent-decoded, as apps get it.
        """
        return not _AMBIGUOUS.search(path) and self._narrow.has(path)

    def cover(self, other: Paths) -> bool:
        """Say whether every path that `other` lists is certainly one of these, so that nothing of it is left.

        Patterns are not compared with one another.
        """
        plain = [path.rstrip("/") for path in other.given if not _WILD.search(path)]
        if not plain or len(plain) < len(other.given) or not all(plain):
            return False
        return all(self.are_certainly(path) and self.are_certainly(f"{path}/-") for path in plain)


def texts_of(given: Any, option: str, example: str) -> tuple[str, ...]:
    """Return several texts that a user has given.

    Args:
        given: what was given.
        option: for the message.
        example: of what it takes, for the message.

    Raises:
        ConfigurationError: they are none; one text alone, whose letters would be taken for them, is none.
    """
    # Callers are often untyped.
    items: Any = given
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    texts: list[Any] = list(items) if several else [None]
    if not all(isinstance(each, str) and each for each in texts):
        msg = f"{option}={given!r} must be several texts, such as {option}={example}"
        raise ConfigurationError(msg)
    return tuple(texts)
