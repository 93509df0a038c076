"""A layer's own time and chance, so that entries grow old without anybody waiting for it."""

from __future__ import annotations

from typing import Any

from holdfast import Layer


class Times:
    """The clocks and the dice of a layer. Redis has its own clock: keys do not expire when time passes here."""

    def __init__(self, *layers: Layer) -> None:
        self.ahead = 0.0
        """Seconds that have passed here and nowhere else."""
        self.chance: float | None = None
        """What every random number is; None leaves it to chance."""
        for layer in layers:
            layer.engine.blocking = _Timed(layer.engine.blocking, self)
            layer.engine.asyncio = _Timed(layer.engine.asyncio, self)

    def go_by(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += seconds


class _Timed:
    """A port with other clocks and dice."""

    def __init__(self, port: Any, times: Times) -> None:
        self._port = port
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def now(self) -> float:
        now: float = self._port.now()
        return now + self._times.ahead

    def monotonic(self) -> float:
        now: float = self._port.monotonic()
        return now + self._times.ahead

    def random(self) -> float:
        chance: float = self._port.random()
        return chance if self._times.chance is None else self._times.chance
