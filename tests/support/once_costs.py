"""What is done once while the test of costs counts what that sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from holdfast import AlreadyRunning
from support.once_web import Site


def _function(bench: Any, layer: Any, **options: Any) -> Any:
    async def work() -> int:
        await bench.gate.passed()
        return 7

    return layer.idempotent("product:7", **options)(bench.colour.function(work))


async def _call(bench: Any, *, before: int) -> None:
    bench.gate.open()
    function = _function(bench, bench.layer)
    for _ in range(before):
        await bench.colour.call(function)
    await bench.measure(bench.colour.call(function))


async def _raise(bench: Any) -> None:
    async def work() -> int:
        raise LookupError

    function = bench.layer.idempotent("product:7")(bench.colour.function(work))

    async def fail() -> None:
        with pytest.raises(LookupError):
            await bench.colour.call(function)

    await bench.measure(fail)


async def _come_too_early(bench: Any) -> None:
    async def run() -> None:
        await bench.colour.call(_function(bench, bench.other))

    async def be_turned_away() -> None:
        await bench.colour.until(lambda: bench.gate.waiting, "it runs")
        function = _function(bench, bench.layer, wait=0)

        async def refused() -> None:
            with pytest.raises(AlreadyRunning):
                await bench.colour.call(function)

        await bench.measure(refused)
        trips = [list(sent.trips) for sent in bench.sent]
        bench.gate.open()
        await bench.colour.until(lambda: "once_finish" in bench.sent[1].names, "the other has ended")
        for sent, measured in zip(bench.sent, trips, strict=True):
            sent.trips[:] = measured

    failed = [each for each in await bench.colour.together(run, be_turned_away) if each is not None]
    assert not failed, failed


async def _ask(bench: Any, *, before: bytes = b"", key: tuple[str | None, ...] = ('"k"',)) -> None:
    site = Site(bench.colour, bench.layer)
    if before:
        await site.ask('"k"', before)

    async def ask() -> None:
        for each in key:
            await site.ask(each)

    await bench.measure(ask)


ONCE: Final[dict[str, Callable[[Any], Awaitable[Any]]]] = {
    "`@idempotent`, the first call": lambda bench: _call(bench, before=0),
    "`@idempotent`, a later call": lambda bench: _call(bench, before=1),
    "`@idempotent`, the function raises": _raise,
    "`@idempotent`, another runs, with `wait=0`": _come_too_early,
    "a request with a key": _ask,
    "a request with a key, replayed": lambda bench: _ask(bench, before=b"x"),
    "a request with a key, of another payload": lambda bench: _ask(bench, before=b"y"),
    "a request with a key, malformed, and one without": lambda bench: _ask(bench, key=("", None)),
}
"""By what the page calls it."""
