"""Redis away: a function with every option of freshness goes on by itself, or says so, and comes back."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import BackendUnavailable, Layer, entries
from holdfast.events import BreakerOpened
from support.colours import Colour
from support.flights import joined
from support.peeking import idle, told
from support.programs import oldest
from support.standalone import Standalone
from support.table import Table
from support.times import Times

ALL: dict[str, Any] = {"tags": ["t"], "grace": 600, "stale_if_error": 600, "beta": 1.0, "near": 30, "jitter": 0.1}


def test_bypassing(colour: Colour, namespace: str) -> None:
    """Each process still shares its loads; the breaker opens; an error of the function is the caller's."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url, namespace=namespace)) as layer:
                table, opened = Table(colour), told(layer, BreakerOpened)
                row = table.on(layer, **ALL)
                await colour.call(row, 1)
                server.kill()
                table.value, gate = 2, table.stop()

                async def open_gate() -> None:
                    await colour.until(lambda: joined(layer) == 5, "all have joined")
                    gate.open()

                assert await colour.together(*[table.calling(row, 2)] * 5, open_gate) == [2] * 5 + [None]
                assert table.loads == 2
                for _ in range(10):
                    value, info = await colour.of(entries(row)).call(2)
                    assert (value, info.status, info.age, info.remaining) == (2, "miss", 0, 0)
                assert len(opened) == 1
                table.fails = LookupError("down")
                with pytest.raises(LookupError):
                    await colour.call(row, 2)
                server.start()
                table.fails = None

                async def is_stored() -> bool:
                    return (await colour.of(entries(row)).call(2))[1].status in {"hit", "near"}

                for _ in range(400):
                    if await is_stored():
                        break
                    await colour.sleep(0.01)
                assert await is_stored()

    colour.run(scenario)


def test_raising(colour: Colour, namespace: str) -> None:
    """A layer that is told to raises, and calls the function for nobody."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url, namespace=namespace, on_failure="raise")) as layer:
                table = Table(colour)
                row = table.on(layer, **ALL)
                await colour.call(row, 1)
                server.kill()
                for _ in range(3):
                    with pytest.raises(BackendUnavailable):
                        await colour.call(row, 2)
                assert table.loads == 1

    colour.run(scenario)


def test_a_refresh_that_cannot_be_stored(colour: Colour, namespace: str) -> None:
    """Redis goes away while a stale entry is refreshed: whoever was served the stale value hears nothing of it."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            for on_failure in ("bypass", "raise"):
                options: Any = {"on_failure": on_failure}
                async with colour.using(Layer(server.url, namespace=namespace, **options)) as layer:
                    table, times = Table(colour), Times(layer)
                    row = table.on(layer, tags=["t"], grace=600)
                    await colour.call(row, 1)
                    times.go_by(61)
                    gate = table.stop()
                    assert await colour.call(row, 1) == 1
                    await colour.until(lambda gate=gate: gate.waiting, "the refresh runs")
                    server.kill()
                    gate.open()
                    await colour.until(lambda layer=layer: idle(layer), "the refresh is over")
                    server.start()

    colour.run(scenario)
