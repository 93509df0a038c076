"""What is raised when a promise is broken."""

from __future__ import annotations

from typing import Final

PROMISES: Final = frozenset({"P1", "P1-near", "P2", "P2b", "P3", "P4", "P5", "books", "error"})
"""What is looked at: those of the specification, that nothing stays behind, and that nothing unexpected is raised."""


class Broken(AssertionError):  # noqa: N818 - what happened to a promise
    """A promise was broken."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise
        self.log: list[str] = []
