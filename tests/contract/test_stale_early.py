"""Early refresh and jitter: entries are renewed before they run out, by chance, and do not run out all at once."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer, entries
from holdfast.events import LoadFailed, Refreshed
from support.colours import Colour
from support.peeking import idle, told
from support.table import Table
from support.times import Times
from support.topologies import Topology

LUCKY = 1 - 2.0**-53
"""The chance with which an entry is refreshed earliest: 36 times the load time before its end."""


class SlowTable(Table):
    """A source whose loads take two seconds, for the layer's clock."""

    def __init__(self, colour: Colour, times: Times) -> None:
        super().__init__(colour)
        self.times = times

    async def read(self) -> Any:
        found = await super().read()
        self.times.go_by(2)
        return found


def test_one_caller_refreshes_before_the_end(colour: Colour, topology: Topology, namespace: str) -> None:
    """The entry is still fresh, so that all get it at once; whose dice say so refreshes it, one in all processes."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            times = Times(layer, other)
            table = SlowTable(colour, times)
            rows = [each.stampede_protected(60)(row) for each, row in both(colour, table, layer, other)]
            events = told(layer, Refreshed), told(other, Refreshed)
            times.chance = 0.0
            await colour.call(rows[0], 1)
            times.go_by(59)
            assert [await colour.call(row, 1) for row in rows] == [1, 1]
            times.chance = LUCKY
            table.value, gate = 2, table.stop()
            for _ in range(2):
                for row in rows:
                    value, info = await colour.of(entries(row)).call(1)
                    assert (value, info.status) == (1, "hit")
                    assert 0 < info.remaining < 1.5
                await colour.until(lambda: gate.waiting and idle(layer) != idle(other), "only one refreshes")
            assert table.loads == 2
            times.chance = 0.0
            gate.open()
            await colour.until(lambda: idle(layer) and idle(other), "the refresh is over")
            assert [await colour.call(row, 1) for row in rows] == [2, 2]
            assert [event.background for told_by in events for event in told_by] == [True]

    colour.run(scenario)


def both(colour: Colour, table: Table, *layers: Layer) -> list[tuple[Layer, Any]]:
    async def row(number: int) -> Any:
        return await table.read()

    return [(layer, colour.function(row)) for layer in layers]


@pytest.mark.parametrize(
    ("beta", "chance", "left", "refreshed"),
    [(1.0, 0.0, 0.5, False), (1.0, LUCKY, 70, True), (1.0, LUCKY, 76, False), (2.0, LUCKY, 140, True),
     (0.0, LUCKY, 0.5, False)],
)  # fmt: skip
def test_when_it_is_refreshed(
    colour: Colour, namespace: str, beta: float, chance: float, left: float, refreshed: bool
) -> None:
    """The dearer the load, the nearer the end and the larger `beta`, the sooner; without luck or beta never."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            times = Times(layer)
            table = SlowTable(colour, times)
            row = table.on(layer, 600, beta=beta)
            times.chance = 0.0
            await colour.call(row, 1)
            times.chance = chance
            times.go_by(600 - left)
            assert await colour.call(row, 1) == 1
            await colour.until(lambda: idle(layer), "nothing is loaded")
            assert table.loads == 1 + refreshed

    colour.run(scenario)


def test_an_early_refresh_that_fails(colour: Colour, namespace: str) -> None:
    """The fresh entry stays, and nobody sees the error but the hooks."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            times, failures = Times(layer), told(layer, LoadFailed)
            table = SlowTable(colour, times)
            row = table.on(layer, beta=1.0)
            times.chance = 0.0
            await colour.call(row, 1)
            times.go_by(50)
            times.chance, table.fails = LUCKY, LookupError("down")
            value, info = await colour.of(entries(row)).call(1)
            assert (value, info.status) == (1, "hit")
            await colour.until(lambda: idle(layer), "the refresh is over")
            assert [failure.error for failure in failures] == ["LookupError"]
            value, info = await colour.of(entries(row)).call(1)
            assert (value, info.status) == (1, "hit")

    colour.run(scenario)


@pytest.mark.parametrize("grace", [0, 30])
@pytest.mark.parametrize("chance", [0.0, 0.5, LUCKY])
def test_jitter_only_lengthens(colour: Colour, namespace: str, chance: float, grace: int) -> None:
    """From the `ttl` itself up to so much more; the grace comes on top, and is not spread."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            times = Times(layer)
            times.chance = chance
            row = Table(colour).on(layer, 100, jitter=0.2, grace=grace)
            await colour.call(row, 1)
            fresh = 100 + 20 * chance
            _, info = await colour.of(entries(row)).call(1)
            assert fresh - 1 < info.remaining <= fresh
            assert fresh + grace - 1 < (await colour.of(entries(row)).info(1)).remaining <= fresh + grace
            await colour.of(entries(row)).set(2, 1)
            assert fresh + grace - 1 < (await colour.of(entries(row)).info(1)).remaining <= fresh + grace

    colour.run(scenario)
