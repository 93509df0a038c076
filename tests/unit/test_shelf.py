"""Every order of a shelf's operations and its clearing that can go wrong, forced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import MISSING, Layer
from holdfast._calls import drive
from holdfast.codec import Codec
from holdfast.core.shelf import Shelf


class Interrupted:
    """A blocking port on which something happens before a call, or after it and before its caller goes on."""

    def __init__(self, port: Any, act: Callable[[], object], *, call: int, after: bool) -> None:
        self._port = port
        self._act = act
        self._left = call
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def call(self, command: Any) -> Any:
        return await self._around(self._port.call(command))

    async def pipeline(self, commands: Any) -> Any:
        return await self._around(self._port.pipeline(commands))

    async def steps(self, *steps: Any) -> Any:
        return await self._around(self._port.steps(*steps))

    async def _around(self, sent: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            self._act()
        reply = await sent
        if self._left == 0 and self._after:
            self._act()
        return reply


def make(layer: Layer) -> Shelf:
    """Return a shelf as another process has it: it knows for itself which generation there is."""
    codec = Codec(layer.serializers, "json", Any)
    return Shelf("shelf", codec, layer.engine.recorder, bypass=False, longest=1000, checked=True)


OPERATIONS: dict[str, Callable[[Shelf, Any], Any]] = {
    "find": lambda shelf, port: shelf.find(port, "a"),
    "has": lambda shelf, port: shelf.has(port, "a"),
    "put": lambda shelf, port: shelf.put_many(port, {"a": "new"}, 60),
    "add": lambda shelf, port: shelf.add(port, "a", "new", 60),
    "touch": lambda shelf, port: shelf.touch(port, "a", 60),
    "remove": lambda shelf, port: shelf.remove(port, ["a"]),
    "incr": lambda shelf, port: shelf.incr(port, "n", 1),
    "incr of a float": lambda shelf, port: shelf.incr(port, "f", 0.5),
    "move": lambda shelf, port: shelf.move(port, "a", "b"),
}
BEFORE = {"a": "old", "n": 1, "f": 1.5}
# What each returns, and what there is afterwards, if it happened before the shelf was cleared, and after.
EARLIER: dict[str, Any] = {
    "find": "old", "has": True, "put": [], "add": False, "touch": True, "remove": 1, "incr": 2, "incr of a float": 2.0,
    "move": True,
}  # fmt: skip
LATER: dict[str, tuple[Any, dict[str, Any]]] = {
    "find": (MISSING, {}), "has": (False, {}), "put": ([], {"a": "new"}), "add": (True, {"a": "new"}),
    "touch": (False, {}), "remove": (0, {}), "incr": (MISSING, {}), "incr of a float": (MISSING, {}),
    "move": (False, {}),
}  # fmt: skip


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_clearing_comes_before_an_operation_or_after_it(name: str, call: int, after: bool, namespace: str) -> None:
    """Whenever another process clears the shelf meanwhile, the outcome is that of one order or the other."""
    with Layer(f"memory://{namespace}") as layer:
        port, ours, others = layer.engine.blocking, make(layer), make(layer)
        drive(ours.put_many(port, BEFORE, 60))
        interrupted = Interrupted(port, lambda: drive(others.clear(port)), call=call, after=after)
        result = drive(OPERATIONS[name](ours, interrupted))
        result = result.value if name == "find" else result
        third = make(layer)
        found = {key: each.value for key, each in drive(third.find_many(port, ["a", "b", "n", "f"])).items()}
        left = {key: value for key, value in found.items() if value is not MISSING}
        if interrupted._left > 0:  # it was over before
            return
        assert (result, left) in ((EARLIER[name], {}), LATER[name])


def test_two_who_add_after_a_clearing_that_neither_knows_of(namespace: str) -> None:
    """One of them wins, though both have tried under the generation of before."""
    with Layer(f"memory://{namespace}") as layer:
        port, shelves = layer.engine.blocking, [make(layer) for _ in range(3)]
        for shelf in shelves:
            drive(shelf.find(port, "lock"))
        drive(shelves[0].clear(port))
        assert [drive(shelf.add(port, "lock", 1, 60)) for shelf in shelves[1:]] == [True, False]
