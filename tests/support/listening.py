"""A listener that writes down what it is told."""

from __future__ import annotations

from support.waiting import until


class Notes:
    """What a listener was told, in order: ``"up"``, ``"down"``, ``"flushed"``, messages, and changed keys."""

    def __init__(self) -> None:
        self.all: list[object] = []

    def up(self) -> None:
        self.all.append("up")

    def down(self) -> None:
        self.all.append("down")

    def heard(self, topic: str, message: bytes) -> None:
        self.all.append((topic, message))

    def changed(self, key: str) -> None:
        self.all.append(key)

    def flushed(self) -> None:
        self.all.append("flushed")

    @property
    def is_up(self) -> bool:
        """Say whether the last change was for the better."""
        return [note for note in self.all if note in {"up", "down"}][-1:] == ["up"]

    def have(self, *notes: object) -> bool:
        """Say whether these are among the notes."""
        return all(note in self.all for note in notes)

    def count(self, note: object) -> int:
        """Count one note."""
        return self.all.count(note)

    def wait_for(self, *notes: object) -> None:
        """Wait until all of these are among the notes. It blocks the thread."""
        until(lambda: self.have(*notes), f"{notes} were noted", ignoring=())
