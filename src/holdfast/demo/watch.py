"""A hook that remembers what the demo tells about: how long each report took, and whether the backend failed."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.events import BackendFailed, Event, Fill


class Watch:
    """Receive the events of a layer: ``Layer(url, hooks=[Watch()])``."""

    def __init__(self) -> None:
        self._load_times: dict[str, float] = {}
        self._failure: str | None = None

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case Fill():
                self._load_times[event.pattern] = event.load_time
            case BackendFailed() if self._failure is None:
                self._failure = event.error
            case _:
                pass

    @property
    def load_times(self) -> Mapping[str, float]:
        """Seconds that the last load of each key pattern took."""
        return self._load_times

    @property
    def failure(self) -> str | None:
        """The first error of the backend, which tells most, or None if it never failed."""
        return self._failure
