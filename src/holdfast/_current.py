"""``current_entry()``: what a loader may say about the entry that it is loading."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from holdfast._durations import seconds
from holdfast._missing import MISSING, Missing
from holdfast.errors import ConfigurationError
from holdfast.typing import Duration


class CurrentEntry:
    """The entry that is being loaded. What is set here holds for this load only."""

    __slots__ = ("_read_stale", "_stale", "_tags", "_ttl", "storing")

    def __init__(self, read_stale: Callable[[], Any | Missing]) -> None:
        self._read_stale: Callable[[], Any | Missing] | None = read_stale
        self._stale: Any | Missing = MISSING
        self._ttl: float | None = None
        self._tags: tuple[str, ...] = ()
        self.storing = True
        """Whether the result is stored; see `no_store`."""

    @property
    def ttl(self) -> float | None:
        """Seconds for which to keep the result, instead of what the decorator says; None until it is set.

        It may be set to any duration; 0 does not store the result.
        """
        return self._ttl

    @ttl.setter
    def ttl(self, value: Duration) -> None:
        self._ttl = seconds(value, "ttl", zero=True)

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the result, besides those that the decorator gives."""
        return self._tags

    @tags.setter
    def tags(self, value: Iterable[str]) -> None:
        self._tags = checked_tags(value, "current_entry().tags")

    def no_store(self) -> None:
        """Return the result to its callers without storing it."""
        self.storing = False

    @property
    def stale(self) -> Any | Missing:
        """The value that is being replaced, if it is still there, or `MISSING`: compare it, or take its validators."""
        if self._read_stale is not None:
            self._stale, self._read_stale = self._read_stale(), None
        return self._stale


CURRENT: ContextVar[CurrentEntry | None] = ContextVar("holdfast_current_entry", default=None)


@contextmanager
def unkept() -> Generator[None]:
    """Let the function that is called in this block say what it likes about its entry: there is none."""
    before = CURRENT.set(CurrentEntry(lambda: MISSING))
    try:
        yield
    finally:
        with suppress(ValueError):  # closed in another context, by the garbage collector
            CURRENT.reset(before)


def current_entry() -> CurrentEntry:
    """Return the entry that the running function is loading.

    Raises:
        ConfigurationError: no cached function is being loaded here.

    Example:
        >>> from holdfast import Layer, current_entry
        >>> layer = Layer("memory://current-entry-example")
        >>> @layer.cached(ttl="1h", key="rate:{currency}")
        ... def rate(currency: str) -> float | None:
        ...     found = {"EUR": 1.0}.get(currency)
        ...     if found is None:
        ...         current_entry().ttl = "10s"
        ...     return found
        >>> rate("EUR"), rate("XXX")
        (1.0, None)
    """
    entry = CURRENT.get()
    if entry is None:
        msg = "current_entry() means the entry that is being loaded: call it inside a cached function"
        raise ConfigurationError(msg)
    return entry


def checked_tags(given: object, source: str) -> tuple[str, ...]:
    """Return tags as a tuple without repetitions.

    Raises:
        ConfigurationError: not several texts, or an empty one.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        msg = f'{source} must be several texts, such as ["user:7"], not {type(given).__name__}'
        raise ConfigurationError(msg)
    tags: dict[str, None] = {}
    for tag in given:  # pyright: ignore[reportUnknownVariableType] - checked here
        if not isinstance(tag, str) or not tag:
            msg = f"{source} must be texts that are not empty; one is {type(tag).__name__}"  # pyright: ignore[reportUnknownArgumentType] - as above
            raise ConfigurationError(msg)
        tags[tag] = None
    return tuple(tags)
