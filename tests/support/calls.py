"""What scripts are called in what goes to a server, and how to see to it that a server knows them all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import combinations
from typing import Any, Final

from holdfast import Layer, scripts
from holdfast.commands import Command, Reply
from holdfast.policy.quota import ALGORITHMS
from holdfast.scripts import Script, idempotency, limits, locks, sessions
from support.recording import Seen
from support.standalone import Standalone

_OF_LIMITS: Final = [
    make(some)
    for count in range(1, len(ALGORITHMS) + 1)
    for some in combinations(ALGORITHMS, count)
    for make in (limits.hit_script, limits.adjust_script)
]
"""Put together from the algorithms that a call needs."""
_ALL: Final = [
    *(scripts.load(each.name[:-4]) for each in files(scripts).iterdir() if each.name.endswith(".lua")),
    *(scripts.load(f"limits/slot_{verb}") for verb in ("take", "keep", "leave")),
    *(each for module in (idempotency, locks, sessions) for each in vars(module).values() if isinstance(each, Script)),
    *_OF_LIMITS,
]
_FOLDERS: Final = re.compile(r"^(limits|locks)/")
_NAMES: Final = {text.encode(): each.name for each in _ALL for text in (each.digest, each.source)}


def named(sent: Command | Seen) -> str:
    """Return what a command is called: a script by its own name, such as ``"fill"``."""
    if isinstance(sent, Seen) and sent.name.startswith("EVAL"):
        return _FOLDERS.sub("", _NAMES[sent.words[1]])
    return _FOLDERS.sub("", sent.name)


def teach(nodes: Iterable[Standalone]) -> None:
    """Let servers know all scripts, so that none has to be sent in full."""
    for node in nodes:
        for each in _ALL:
            node.client.script_load(each.source)


class Sent:
    """What a layer sends, one tuple of names a round trip to a single server."""

    def __init__(self, layer: Layer) -> None:
        self.trips: list[tuple[str, ...]] = []
        layer.engine.blocking = _Counting(layer.engine.blocking, self.trips)
        layer.engine.asyncio = _Counting(layer.engine.asyncio, self.trips)

    @property
    def names(self) -> list[str]:
        """Return the names of all commands, in order."""
        return [name for trip in self.trips for name in trip]


class _Counting:
    """A port that notes what it passes on."""

    def __init__(self, port: Any, trips: list[tuple[str, ...]]) -> None:
        self._port = port
        self._trips = trips

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def call_now(self, command: Command) -> Reply:
        self._trips.append((named(command),))
        return self._port.call_now(command)

    async def call(self, command: Command) -> Reply:
        self._trips.append((named(command),))
        return await self._port.call(command)

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        self._trips.append(tuple(map(named, commands)))
        replies: list[Reply] = await self._port.pipeline(commands)
        return replies

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        self._trips.append(tuple(map(named, commands)))
        outcomes: list[Reply] = await self._port.outcomes(commands)
        return outcomes

    async def steps(self, *steps: Sequence[Command]) -> list[Reply]:
        self._trips.append(tuple(named(command) for step in steps for command in step))
        replies: list[Reply] = await self._port.steps(*steps)
        return replies
