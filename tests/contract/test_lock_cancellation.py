"""Promises to cancelled and interrupted callers of locks: the cancellation comes out, and nothing stays behind.

Each verb is run once for each place where its task waits, and cancelled there, or a few steps of the loop later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import pytest

from holdfast import LockNotAcquired
from holdfast._lobby import Lobby
from holdfast.core import lock_waiting
from support.calls import teach
from support.flights import reached
from support.lock_bench import KINDS, PLACES, SOON, Bench, benched, hears, seats_of, see_each_wait, url_of
from support.lock_cancelling import Run, claims_of, is_left_alone, left_of
from support.proxy import Proxy
from support.topologies import Servers


async def let_go(lock: Any) -> None:
    held = await lock.aacquire()
    await held.arelease()


async def enter(lock: Any) -> None:
    async with lock:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)


VERBS: Final[dict[str, Callable[[Any], Coroutine[Any, Any, None]]]] = {"acquire, release": let_go, "async with": enter}
kinds = pytest.mark.parametrize("kind", KINDS)
places = pytest.mark.parametrize("place", PLACES)


@places
@kinds
@pytest.mark.parametrize("verb", VERBS)
def test_taking_what_is_free(verb: str, kind: str, place: str, servers: Servers, namespace: str) -> None:
    """Whoever is cancelled while he takes, holds or gives back leaves nothing, and the cancellation comes out."""

    async def case(bench: Bench, wait: int, steps: int) -> Run:
        lock, _ = bench.locks()
        run = Run(wait, steps)
        return await bench.see(run, await run.of(VERBS[verb](lock)), lock)

    waits = see_each_wait(kind, url_of(place, servers, namespace), namespace, case)
    assert waits >= (2 if place == "server" or verb == "async with" else 0)


@places
@kinds
def test_waiting_until_it_is_free(kind: str, place: str, servers: Servers, namespace: str) -> None:
    """The same for whoever waits until another gives it back: also when he is called at that very moment."""

    async def case(bench: Bench, wait: int, steps: int) -> Run:
        lock, other = bench.locks()
        held = await other.aacquire()
        run = Run(wait, steps)
        running = asyncio.ensure_future(run.of(enter(lock)))
        await reached(lambda: running.done() or hears(bench.here, lock))
        await held.arelease()
        return await bench.see(run, await running, lock)

    assert see_each_wait(kind, url_of(place, servers, namespace), namespace, case) >= 3


@places
@kinds
def test_waiting_in_vain(kind: str, place: str, servers: Servers, namespace: str) -> None:
    """Whoever is cancelled, or whose time is over, is out of the queue at once; the holder keeps his lock."""

    async def case(bench: Bench, wait: int, steps: int) -> Run:
        lock, other = bench.locks(wait=0.02)
        held = await other.aacquire()
        run = Run(wait, steps)
        task = await run.of(lock.aacquire())
        assert run.accepted == task.cancelled()
        assert task.cancelled() or isinstance(task.exception(), LockNotAcquired)
        await reached(lambda: set(left_of(bench.there, lock)) == {claim.places.held for claim in claims_of(other)})
        held.check()
        await held.arelease()
        return await bench.see(run, task, lock)

    assert see_each_wait(kind, url_of(place, servers, namespace), namespace, case) >= 1


@places
@kinds
def test_those_behind_a_cancelled_caller_go_on(kind: str, place: str, servers: Servers, namespace: str) -> None:
    """Another who waits behind him gets the lock when the holder has gone, not when some time is over."""

    async def case(bench: Bench, wait: int, steps: int) -> Run:
        lock, other = bench.locks()
        held = await other.aacquire()
        run = Run(wait, steps)
        first = asyncio.ensure_future(run.of(enter(lock)))
        await reached(lambda: first.done() or hears(bench.here, lock))
        second = asyncio.ensure_future(enter(lock))
        third = asyncio.ensure_future(enter(other))
        await asyncio.sleep(0.005)
        began = time.monotonic()
        await held.arelease()
        await asyncio.wait_for(asyncio.gather(second, third), 30)
        assert time.monotonic() - began < SOON
        return await bench.see(run, await first, lock)

    assert see_each_wait(kind, url_of(place, servers, namespace), namespace, case) >= 3


@places
@pytest.mark.parametrize("rung", [False, True], ids=["before", "after"])
def test_whoever_is_in_front_is_cancelled_around_the_ring(
    rung: bool, place: str, servers: Servers, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ring that he does not follow any more goes to the next one in the same process, who would look much later."""
    monkeypatch.setattr(lock_waiting, "_BEHIND", 500.0)
    monkeypatch.setattr(Lobby, "heard", lambda *_: None)  # the word of Redis would do as well

    async def scenario() -> None:
        async with benched("plain", url_of(place, servers, namespace), namespace) as bench:
            lock, _ = bench.locks()
            held = await lock.aacquire()
            first, second = asyncio.ensure_future(enter(lock)), asyncio.ensure_future(enter(lock))
            await reached(lambda: hears(bench.here, lock))
            await reached(lambda: seats_of(bench.here, lock) == 2)
            if rung:
                await held.arelease()
            first.cancel()
            if not rung:
                await held.arelease()
            await asyncio.wait_for(second, 30)
            assert first.cancelled()
            await is_left_alone(bench.there, lock)

    asyncio.run(scenario())


@pytest.mark.parametrize("verb", ["extend", "release"])
@kinds
def test_extending_and_giving_back(kind: str, verb: str, servers: Servers, namespace: str) -> None:
    """Whose `extend` is cancelled still holds his lock; whose `release` is cancelled has given it back all the same."""

    async def case(bench: Bench, wait: int, steps: int) -> Run:
        lock, _ = bench.locks()
        held = await lock.aacquire()
        run = Run(wait, steps)
        task = await run.of(held.aextend("20s") if verb == "extend" else held.arelease())
        assert task.cancelled() == run.accepted
        if verb == "extend":
            held.check()
            await held.arelease()
        return await bench.see(run, task, lock)

    assert see_each_wait(kind, url_of("server", servers, namespace), namespace, case) >= 1


@places
def test_a_locked_function(place: str, servers: Servers, namespace: str) -> None:
    """What `locked` decorates is cancelled like a block."""

    async def case(bench: Bench, wait: int, steps: int) -> Run:
        lock, _ = bench.locks()

        @bench.here.locked(claims_of(lock)[0].name)
        async def job() -> None:
            await asyncio.sleep(0)

        run = Run(wait, steps)
        return await bench.see(run, await run.of(job()), lock)

    assert see_each_wait("plain", url_of(place, servers, namespace), namespace, case) >= 1


@pytest.mark.parametrize("kind", ["plain", "fair", "permit", "several"])
def test_over_a_slow_connection(kind: str, servers: Servers, namespace: str) -> None:
    """Replies take some milliseconds, so that cancellations come between the execution of a command and its answer."""

    async def case(bench: Bench, wait: int, steps: int) -> Run:
        lock, _ = bench.locks()
        run = Run(wait, steps)
        return await bench.see(run, await run.of(enter(lock)), lock)

    teach([servers.standalone()])
    with Proxy(servers.standalone().address) as proxy:
        proxy.delay(0.003)
        assert see_each_wait(kind, proxy.url, namespace, case, servers.standalone().url) >= 2


@pytest.mark.parametrize("kind", ["plain", "fair", "permit"])
def test_over_a_connection_that_breaks(kind: str, servers: Servers, namespace: str) -> None:
    """The reply is lost with its connection: the caller is cancelled while he connects again, or asks again."""
    teach([servers.standalone()])
    with Proxy(servers.standalone().address) as proxy:

        async def case(bench: Bench, wait: int, steps: int) -> Run:
            await bench.here.lock("open the connection").alocked()
            lock, _ = bench.locks()
            proxy.cut_after(0)
            run = Run(wait, steps)
            return await bench.see(run, await run.of(enter(lock)), lock)

        assert see_each_wait(kind, proxy.url, namespace, case, servers.standalone().url) >= 3
