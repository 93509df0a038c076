"""A body on its way through: kept while it may be stored, and let go as soon as it is too long for that."""

from __future__ import annotations


class Body:
    """The pieces of one body."""

    __slots__ = ("_limit", "_pieces", "count", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.count = 0
        """How many pieces there were."""
        self.size = 0
        """Bytes of all of them."""

    @property
    def is_overlong(self) -> bool:
        """Whether it is too long to be stored."""
        return self.size > self._limit

    def feed(self, piece: bytes) -> None:
        """Take a piece."""
        self.count += 1
        self.size += len(piece)
        if self.size > self._limit:
            self._pieces.clear()
        elif piece:
            self._pieces.append(bytes(piece))

    def whole(self) -> bytes:
        """Return all of it."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
