"""Promises of `Port.together`: results in order, one error ends all, and nothing goes on afterwards."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import commands
from holdfast.errors import BackendTimeout, BackendUnavailable
from support.backends import opened
from support.colours import Colour
from support.topologies import Topology

ASYNC = Colour("async")


def test_results_come_in_order(colour: Colour, topology: Topology, namespace: str) -> None:
    """Several calls bring what each of them would bring alone; no calls bring nothing."""
    keys = [f"{namespace}:{number}" for number in range(5)]

    async def scenario() -> None:
        async with opened(colour, topology.url) as it:
            for key in keys:
                await it.port.call(commands.put(key, key.encode(), 60))
            for count in range(6):
                some = keys[:count]
                assert await it.port.together([it.port.call(commands.get(key)) for key in some]) == [
                    key.encode() for key in some
                ]

    colour.run(scenario)


def test_one_error_ends_all(colour: Colour) -> None:
    """What a call raises comes out; those after it in a thread are not begun, those of a loop are cancelled and end."""
    told: list[str] = []

    async def scenario() -> None:
        async with opened(colour, "memory://") as it:

            async def quick() -> None:
                told.append("quick")

            async def failing() -> None:
                raise BackendUnavailable("first")

            async def slow() -> None:
                told.append("begun")
                try:
                    await it.port.sleep(60)
                except asyncio.CancelledError:
                    await asyncio.sleep(0.01)
                    told.append("ended")
                    raise BackendTimeout("second") from None

            with pytest.raises(BackendUnavailable, match="first"):
                await it.port.together([quick(), failing(), slow()])
            assert told == (["quick", "begun", "ended"] if colour.is_async else ["quick"])

    colour.run(scenario)


def test_calls_of_a_loop_run_at_once() -> None:
    """Each may need another to come to its end."""

    async def scenario() -> None:
        async with opened(ASYNC, "memory://") as it:
            barrier = asyncio.Barrier(3)
            assert await asyncio.wait_for(it.port.together([barrier.wait() for _ in range(3)]), 30) is not None

    ASYNC.run(scenario)


@pytest.mark.parametrize("times", [1, 2])
def test_cancelling_the_caller_ends_all(times: int) -> None:
    """The cancellation comes out when all have ended, also those that need a while, even if it is repeated."""
    ended: list[int] = []

    async def scenario() -> None:
        async with opened(ASYNC, "memory://") as it:
            ending = asyncio.Event()

            async def slow(number: int) -> None:
                try:
                    await it.port.sleep(60)
                finally:
                    ending.set()
                    for _ in range(3):
                        try:
                            await asyncio.sleep(0.01)
                        except asyncio.CancelledError:
                            continue
                    ended.append(number)

            caller = asyncio.ensure_future(it.port.together([slow(number) for number in range(3)]))
            await asyncio.sleep(0.01)
            for _ in range(times):
                caller.cancel()
                await ending.wait()
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert sorted(ended) == [0, 1, 2]

    ASYNC.run(scenario)


def test_a_call_that_is_interrupted(colour: Colour) -> None:
    """Ctrl-C comes out, and the others are not left to be told of as never awaited."""

    async def scenario() -> None:
        async with opened(colour, "memory://") as it:

            async def interrupted() -> None:
                raise SystemExit(3)

            with pytest.raises(SystemExit):
                await it.port.together([interrupted(), it.port.sleep(0)])

    try:
        colour.run(scenario)
    except SystemExit:
        assert colour.is_async  # a loop lets it out at once, whatever waits for it
