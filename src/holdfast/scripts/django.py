"""The commands of a shelf, which `core/shelf.py` explains; the headers of the ``.lua`` files have the replies."""

from __future__ import annotations

from typing import Final

from holdfast.commands import Command, milliseconds
from holdfast.scripts import load

_GENERATION: Final = load("django/generation", repeatable=True)
_INCR: Final = load("django/incr")
_SWAP: Final = load("django/swap")


def generation(key: str, *, nonce: str, seconds: float) -> Command:
    """Read the generation of a shelf, begin one with `nonce` where there is none, and let it live for `seconds`."""
    return _GENERATION.command((key,), (nonce, milliseconds(seconds)))


def incr(key: str, delta: int) -> Command:
    """Add to a whole number."""
    return _INCR.command((key,), (delta,))


def swap(key: str, *, was: bytes, new: bytes, seconds: float | None) -> Command:
    """Replace a value that is still what it was; None keeps its time to live."""
    return _SWAP.command((key,), (was, new, 0 if seconds is None else milliseconds(seconds)))


def clear(key: str, *, nonce: str, seconds: float) -> Command:
    """Begin a new generation."""
    return Command(("SET", key, nonce, "PX", milliseconds(seconds)), (key,), True)


def add(key: str, value: bytes, seconds: float) -> Command:
    """Store a value unless there is one; the reply is None then.

    Not repeatable: a second execution would find what the first one stored.
    """
    return Command(("SET", key, value, "PX", milliseconds(seconds), "NX"), (key,))


def exists(key: str) -> Command:
    """Count a key: 0 or 1."""
    return Command(("EXISTS", key), (key,), True)
