"""A near cache for tests, with entries that are made from what matters in them."""

from __future__ import annotations

from holdfast._near import NOT_KEPT, Near, Snapshot

ROOMY = 1 << 20


class Nearby(Near):
    """A near cache at work, whose clock stands at 0 unless a test says otherwise."""

    def __init__(self, entries: int = 1000, bytes: int = ROOMY) -> None:  # noqa: A002 - as the original has it
        super().__init__(entries, bytes)
        self.resume()

    def keep(
        self,
        key: str,
        raw: bytes = b"raw",
        *tags: str,
        snapshot: Snapshot | None = None,
        now: float = 0.0,
        expires: float = 10.0,
    ) -> bool:
        """Store an entry; without a snapshot, as if it was read at once."""
        return self.store(
            key,
            raw,
            NOT_KEPT,
            snapshot=snapshot or self.snapshot(),
            now=now,
            expires=expires,
            fresh_until=1e9,
            reader=None,
            tags=tags,
        )

    def raw(self, key: str, now: float = 0.0) -> bytes | None:
        """Return what is served."""
        kept = self.get(key, now)
        return None if kept is None else kept.raw

    def counted(self) -> int:
        """Add up what the entries say that they take."""
        return sum(kept.size for kept in self._entries.values())


def apart(start: str, number: int) -> list[str]:
    """Return names that are not counted in the same place, so that bumping one leaves the others alone."""
    places: dict[int, str] = {}
    serial = 0
    while len(places) < number:
        places.setdefault(hash(f"{start}{serial}") % 4096, f"{start}{serial}")
        serial += 1
    return list(places.values())


def together(start: str) -> tuple[str, str]:
    """Return two names that are counted in the same place."""
    places: dict[int, str] = {}
    serial = 0
    while True:
        name = f"{start}{serial}"
        if (other := places.setdefault(hash(name) % 4096, name)) != name:
            return other, name
        serial += 1
