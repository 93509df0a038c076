"""Promises to whoever is cancelled or interrupted on the way to a lock over several servers: nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from holdfast.core.red_votes import Grant, Refusal
from holdfast.policy.names import Names
from support.colours import Colour
from support.redlocks import Client, client, several
from support.standalone import Standalone

SYNC, ASYNC = Colour("sync"), Colour("async")
LEASE = 60.0
SOON = 10.0
"""Seconds, far less than the lease, in which nothing is left."""


@pytest.fixture(scope="module")
def five() -> Iterator[list[Standalone]]:
    """Five servers that are never stopped."""
    with several(5) as servers:
        yield servers


class Nth:
    """Counts the instants of commands, and does something at one of them."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._number = number
        self._act = act
        self.count = 0
        self.point = ""

    def __call__(self, point: str, server: int) -> bool:
        self.count += 1
        if self.count - 1 != self._number:
            return False
        self.point = f"{point} {server}"
        self._act()
        return True


async def go(it: Client, way: str) -> None:
    """Go one of the ways on which there is something to be cancelled."""
    found = await it.take(LEASE)
    if way == "refused":
        assert isinstance(found, Refusal)
        return
    assert isinstance(found, Grant)
    await it.leave(found)


def prepare(it: Client, way: str, servers: list[Standalone]) -> None:
    """See to it that a way is the one that is gone."""
    for server in servers[2:] if way == "refused" else ():
        server.client.set(it.names.lock("lock", "n").held, "other", px=60_000)


async def clean(it: Client, way: str, servers: list[Standalone]) -> None:
    """Check that soon nothing is left but what is another's; take that away."""
    wanted = [None, None, *[b"other"] * 3] if way == "refused" else [None] * 5
    await it.colour.until(lambda: it.left(servers) == wanted, "nothing is left", within=SOON)
    for server in servers:
        server.client.delete(it.names.lock("lock", "n").held)


@pytest.mark.parametrize("way", ["granted", "refused"])
def test_cancelled_at_each_instant_of_a_command(five: list[Standalone], namespace: str, way: str) -> None:
    """Before any command is sent, or before its reply is heard: it comes out, and soon the lock is held nowhere."""

    async def scenario() -> None:
        points: list[str] = []
        async with client(ASYNC, [server.url for server in five], namespace) as it:
            while True:
                prepare(it, way, five)
                caller = asyncio.ensure_future(go(it, way))
                hook = it.hook = Nth(len(points), caller.cancel)
                await asyncio.wait([caller])
                if not hook.point:
                    break
                assert caller.cancelled()
                points.append(hook.point)
                await clean(it, way, five)
            await caller
        assert len(points) == (14 if way == "refused" else 30), points

    ASYNC.run(scenario)


def test_cancelled_at_each_turn_of_the_loop(five: list[Standalone], namespace: str) -> None:
    """However many turns of the loop after it began: the cancellation comes out, or all was over."""

    async def scenario() -> None:
        async with client(ASYNC, [server.url for server in five], namespace) as it:
            await go(it, "granted")  # all are connected, and know the scripts
            turns, over = 0, 0
            while over < 3:
                caller = asyncio.ensure_future(go(it, "granted"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                over += caller.done()
                if not caller.cancel():
                    await caller
                else:
                    await asyncio.wait([caller])
                    assert caller.cancelled()
                await clean(it, "granted", five)
                turns += 1
            assert turns > 10

    ASYNC.run(scenario)


def test_cancelled_again_and_again(five: list[Standalone], namespace: str) -> None:
    """A second cancellation, while the first is being seen to, changes nothing."""

    async def scenario() -> None:
        async with client(ASYNC, [server.url for server in five], namespace) as it:
            for number in range(20):
                caller = asyncio.ensure_future(go(it, "granted"))

                def cancel(caller: asyncio.Task[None] = caller) -> None:
                    caller.cancel()
                    asyncio.get_running_loop().call_soon(caller.cancel)

                it.hook = Nth(number, cancel)
                await asyncio.wait([caller])
                assert caller.cancelled()
                await clean(it, "granted", five)

    ASYNC.run(scenario)


@pytest.mark.parametrize("way", ["granted", "refused"])
def test_interrupted_at_each_instant_of_a_command(five: list[Standalone], namespace: str, way: str) -> None:
    """Ctrl-C in a thread comes out, whenever it comes, and the lock is held nowhere."""

    async def scenario() -> None:
        number = 0
        async with client(SYNC, [server.url for server in five], namespace) as it:

            def interrupt() -> None:
                raise KeyboardInterrupt

            while True:
                prepare(it, way, five)
                hook = it.hook = Nth(number, interrupt)
                try:
                    await go(it, way)
                except KeyboardInterrupt:
                    assert hook.point
                if not hook.point:
                    break
                number += 1
                await clean(it, way, five)
        assert number == (14 if way == "refused" else 30)

    SYNC.run(scenario)


@pytest.mark.parametrize("point", ["take", "take!", "fix_fence!", "leave", "leave!"])
def test_a_program_that_is_cancelled(five: list[Standalone], namespace: str, point: str) -> None:
    """If all is closed right after the cancellation, and the loop ends, nothing is left either."""

    async def program() -> None:
        async with client(ASYNC, [server.url for server in five], namespace) as it:
            main = asyncio.current_task()
            assert main is not None

            def cancel(come: str, server: int) -> bool:
                if (come, server) != (point, 3) or main.cancelling():
                    return False
                return main.cancel()

            it.hook = cancel
            await go(it, "granted")

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(program())
    held = Names(namespace).lock("lock", "n").held
    assert [server.client.get(held) for server in five] == [None] * 5
