"""Promises about the patience of a command: its caller is free again in time, whatever Redis and everybody else do."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from holdfast.backend.breaker import LONGEST_PAUSE
from holdfast.backend.deadline import Deadline
from holdfast.commands import Command, get, mget, put
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from holdfast.events import BreakerClosed, BreakerOpened
from support.backends import Opened, opened
from support.cluster import Cluster
from support.colours import Colour
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone

PATIENCE: Final = 0.1
ENOUGH: Final = 2.0
"""Seconds in which a caller must be free again even on a machine under load; far less than all other time-outs."""
SLOW: Final = "?socket_timeout=20&socket_connect_timeout=20"
INCR: Final = Command(("INCR", "n"), ("n",), patience=PATIENCE)
ASYNC: Final = Colour("async")
SYNC: Final = Colour("sync")


def echo(word: str, patience: float | None = PATIENCE) -> Command:
    return Command(("ECHO", word), (), patience=patience)


async def gives_up(it: Opened, *commands: Command, within: float = ENOUGH) -> BackendTimeout:
    """Check that a call, or a pipeline, ends when its patience does; return what it raises."""
    started = time.monotonic()
    with pytest.raises(BackendTimeout) as caught:
        await (it.port.pipeline(commands) if len(commands) > 1 else it.port.call(*commands or (INCR,)))
    assert PATIENCE * 0.9 <= time.monotonic() - started < within
    return caught.value


def failures(it: Opened) -> list[int]:
    """Return what the breakers have counted."""
    return [breaker.failures for breaker in it.backend._breakers.values()]


@pytest.fixture(autouse=True)
def _blame_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count every patience that runs out, however busy the machine is; `unit/backend` tests who is to blame."""
    monkeypatch.setattr(Deadline, "was_fair", lambda *_: True)


@contextmanager
def black_hole() -> Iterator[str]:
    """Listen without taking connections: the queue is full, so that whoever connects hears nothing."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_frozen_server(colour: Colour) -> None:
    """Whoever waits for the reply of a frozen server is told in time, and that the command may have been executed.

    It is sent once, and when the server goes on everybody gets his own reply.
    """

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, f"{server.url}{SLOW}") as it:
                assert await it.port.call(INCR) == 1
                with server.paused():
                    error = await gives_up(it)
                assert "INCR: Redis at" in str(error)
                assert "did not answer within the patience of its caller (0.1 s)" in str(error)
                assert "may have been executed" in str(error)
                assert failures(it) == [1]
                await colour.until(lambda: server.client.get("n") == b"2", "it is executed after all")
                for word in ("one", "two"):
                    assert await it.port.call(echo(word)) == word.encode()
                assert server.commandstats()["incr"] == 2
                assert failures(it) == [0]

    colour.run(scenario)


@pytest.mark.parametrize("count", [1, 3])
def test_a_late_reply_is_nobodys(colour: Colour, count: int) -> None:
    """A reply that comes too late, of a call or a pipeline, is not given to the next caller.

    A wire is closed; the connection of a loop lives on.
    """

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, f"{proxy.url}{SLOW}") as it:
                assert await it.port.call(echo("first")) == b"first"
                proxy.hold_replies()
                await gives_up(it, *(echo(f"late {number}") for number in range(count)))
                proxy.release()
                for number in range(3):
                    assert await it.port.call(echo(f"{number}")) == b"%d" % number
                assert proxy.opened == (1 if colour.is_async else 2)
                assert server.commandstats()["echo"] == 4 + count

    colour.run(scenario)


def test_others_are_not_hurried(colour: Colour) -> None:
    """A command without patience waits as long as ever, on a connection that a hurried one has used before."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, f"{proxy.url}{SLOW}") as it:
                assert await it.port.call(INCR) == 1
                proxy.delay(PATIENCE * 2.5)
                started = time.monotonic()
                assert await it.port.call(get("n")) == b"1"
                assert time.monotonic() - started >= PATIENCE * 2
                await gives_up(it)
                assert await it.port.pipeline([get("n"), echo("more", None)]) == [b"2", b"more"]
                proxy.delay(0)
                assert await it.port.call(INCR) == 3

    colour.run(scenario)


def test_the_least_patient_command_decides(colour: Colour) -> None:
    """A pipeline, and all steps together, end when the patience of one of their commands does."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, f"{server.url}{SLOW}") as it:
                several = [get("n"), echo("long", 15), echo("short")]
                assert await it.port.pipeline(several) == [None, b"long", b"short"]
                with server.paused():
                    await gives_up(it, *several)
                    started = time.monotonic()
                    with pytest.raises(BackendTimeout):
                        await it.port.steps(several[:1], several[1:])
                    assert time.monotonic() - started < ENOUGH

    colour.run(scenario)


def test_a_greeting_without_an_answer(colour: Colour) -> None:
    """A server that takes connections and never greets: each caller pays his patience, and three of them are enough.

    The connection that was being opened is of use when the server goes on.
    """

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, f"{proxy.url}{SLOW}") as it:
                server.pause()
                for _ in range(3):
                    await gives_up(it)
                with pytest.raises(BackendUnavailable, match="circuit breaker open"):
                    await it.port.call(INCR)
                server.resume()
                await recovers(colour, it)
                assert server.client.get("n") == b"1", "nothing was sent for those who gave up"
                assert proxy.opened <= 3

    colour.run(scenario)


async def recovers(colour: Colour, it: Opened) -> None:
    """Ask until an answer comes; nothing but time is needed."""
    started = time.monotonic()
    while True:
        try:
            await it.port.call(INCR)
        except BackendError:
            assert time.monotonic() - started < LONGEST_PAUSE + 10
            await colour.sleep(0.01)
        else:
            return


@pytest.mark.parametrize(
    ("warm", "held_up"),
    [(True, PATIENCE * 0.99), (True, PATIENCE + 0.005), (True, PATIENCE * 3), (False, PATIENCE * 3)],
    ids=["as long", "a little longer", "much longer", "while it connects"],
)
def test_a_busy_loop_is_no_outage(warm: bool, held_up: float) -> None:
    """Whoever's loop does something else for longer than his patience gets the answer of a server that is well.

    It does so when the command has been taken and nothing has left, or when the connection is to be opened.
    """

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(ASYNC, f"{server.url}{SLOW}") as it:
                if warm:
                    assert await it.port.call(INCR) == 1
                call = asyncio.ensure_future(it.port.call(INCR))
                await asyncio.sleep(0)
                time.sleep(held_up)  # noqa: ASYNC251 - the loop is busy
                assert await call == 1 + warm
                assert failures(it) == [0]

    ASYNC.run(scenario)


@pytest.mark.parametrize("url", ["redis://{}", "redis+sentinel://{}/service", "redis+cluster://{}"])
def test_a_black_hole(colour: Colour, url: str) -> None:
    """Nobody answers where the server, the sentinel, or the node that knows the map should be."""

    async def scenario() -> None:
        with black_hole() as place:
            async with opened(colour, f"{url.format(place)}?socket_connect_timeout=1.5") as it:
                await gives_up(it, within=1.2)

    colour.run(scenario)


@pytest.mark.parametrize("frozen", ["while it blocks", "while it connects"])
def test_a_command_that_blocks_on_purpose(colour: Colour, frozen: str) -> None:
    """It too is given up when its caller's patience ends, on a connection of its own that is then gone."""
    pop = Command(("BLPOP", "queue", 15), ("queue",), blocks=15, patience=PATIENCE)

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, f"{server.url}{SLOW}") as it:
                assert await it.port.call(INCR) == 1
                if frozen == "while it connects":
                    server.pause()
                await gives_up(it, pop)
                server.resume()
                await colour.until(lambda: len(server.client.client_list()) <= 2, "its connection is gone")
                assert await it.port.call(INCR) == 2

    colour.run(scenario)


def test_an_exhausted_pool() -> None:
    """Who waits for a connection that others use is told so in time. It is not the server's fault."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(SYNC, f"{proxy.url}{SLOW}&max_connections=1&timeout=20") as it:
                proxy.hold_replies()
                holder = threading.Thread(target=it.backend.blocking.call_now, args=(get("k"),))
                holder.start()
                proxy.wait_for(lambda proxy: proxy.held_down)
                error = await gives_up(it)
                proxy.release()
                holder.join()
                assert "all 1 connections were in use for 0.1 s" in str(error)
                assert failures(it) == [0]
                assert await it.port.call(INCR) == 1

    SYNC.run(scenario)


def test_a_full_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for room on the connection of a loop is told so in time, is not sent, and leaves the queue."""
    monkeypatch.setattr("holdfast.backend.multiplex._MOST_PENDING", 1)

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(ASYNC, f"{proxy.url}{SLOW}") as it:
                await it.port.call(get("k"))
                proxy.hold_replies()
                held = asyncio.ensure_future(it.port.call(get("k")))
                await ASYNC.until(lambda: proxy.held_down, "the first is under way")
                await gives_up(it)
                proxy.release()
                assert await held is None
                assert await it.port.call(INCR) == 1

    ASYNC.run(scenario)


def test_three_in_a_row_open_the_breaker(colour: Colour) -> None:
    """Under a frozen server not every caller pays: after three the others are refused at once, until it answers."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, f"{server.url}{SLOW}&max_connections=4") as it:
                await it.port.call(INCR)
                waits: list[float] = []

                async def act() -> None:
                    for _ in range(20):
                        started = time.monotonic()
                        with pytest.raises(BackendError):
                            await it.port.call(INCR)
                        waits.append(time.monotonic() - started)

                with server.paused():
                    assert await colour.together(*[act] * 8) == [None] * 8
                    assert it.events, "it has opened"
                    assert sum(wait > PATIENCE / 2 for wait in waits) <= 8 + 2
                await recovers(colour, it)
                assert [type(event) for event in it.events] == [BreakerOpened, BreakerClosed]

    colour.run(scenario)


def test_an_answer_ends_the_row(colour: Colour) -> None:
    """Patience that runs out now and then does not open the breaker."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, f"{proxy.url}{SLOW}") as it:
                await it.port.call(INCR)
                for _ in range(2):
                    for number in (1, 2):
                        proxy.hold_replies()
                        await gives_up(it)
                        assert failures(it) == [number]
                        proxy.release()
                    await it.port.call(echo("well"))
                    assert failures(it) == [0]
                assert it.events == []

    colour.run(scenario)


def test_a_probe_that_runs_out_of_patience(colour: Colour) -> None:
    """The next probe comes after its pause all the same."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, f"{server.url}{SLOW}") as it:
                await it.port.call(INCR)
                with server.paused():
                    for _ in range(3):
                        await gives_up(it)
                    started = time.monotonic()
                    while not isinstance(await it.outcome_of(INCR), BackendTimeout):
                        assert time.monotonic() - started < ENOUGH * 5
                        await colour.sleep(0.02)
                await recovers(colour, it)

    colour.run(scenario)


def test_cancelling_is_not_running_out() -> None:
    """A task that is cancelled while it waits is cancelled, and the server is not blamed; and the other way round."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(ASYNC, f"{proxy.url}{SLOW}") as it:
                await it.port.call(INCR)
                proxy.hold_replies()
                task = asyncio.ensure_future(it.port.call(echo("long", 15)))
                await ASYNC.until(lambda: proxy.held_down, "it is under way")
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await it.port.call(echo("long", 15))
                assert failures(it) == [0]
                async with asyncio.timeout(15):
                    await gives_up(it)
                proxy.release()
                assert await it.port.call(echo("well")) == b"well"

    ASYNC.run(scenario)


@pytest.mark.parametrize("moment", ["over", "cancelled first", "over first"])
def test_cancelled_at_the_very_moment(moment: str) -> None:
    """Whichever comes first, a cancelled task ends as a cancelled one and nothing is left behind."""
    complaints: list[object] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(ASYNC, f"{proxy.url}{SLOW}") as it:
                await it.port.call(INCR)
                proxy.hold_replies()
                task = asyncio.ensure_future(it.port.call(INCR))
                await ASYNC.until(lambda: proxy.held_down, "it is under way")
                link = it.backend._links[1]
                (connection,) = link._seats[asyncio.get_running_loop()].alive  # type: ignore[attr-defined]
                future, number, deadline, _ = connection._hurried._queue[-1]
                if moment == "cancelled first":
                    task.cancel()
                connection._give_up(future, number, deadline)
                if moment == "over first":
                    task.cancel()
                proxy.release()
                outcome = (await asyncio.gather(task, return_exceptions=True))[0]
                assert type(outcome) is (BackendTimeout if moment == "over" else asyncio.CancelledError)
                assert await it.port.call(echo("well")) == b"well"
                assert not connection._pending
                del future, task
                gc.collect()
                assert complaints == []

    ASYNC.run(scenario)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of this module's own, whose nodes it may freeze for a moment."""
    with Cluster(oldest()) as cluster:
        yield cluster


def placed(cluster: Cluster, namespace: str) -> dict[Standalone, str]:
    """Return a key for each node."""
    return {cluster.owner(key): key for key in (f"{namespace}:{number}" for number in range(50))}


def incr(key: str) -> Command:
    return Command(("INCR", key), (key,), patience=PATIENCE)


def test_a_call_to_a_frozen_node(colour: Colour, cluster: Cluster, namespace: str) -> None:
    """It gives up in time; the other nodes serve, though the map has to be learned anew, from the frozen one first."""
    keys = placed(cluster, namespace)
    frozen, other = cluster.primaries[:2]

    async def scenario() -> None:
        async with opened(colour, f"{cluster.url}{SLOW}") as it:
            assert await it.port.pipeline([incr(key) for key in keys.values()]) == [1, 1, 1]
            with frozen.paused():
                await gives_up(it, incr(keys[frozen]))
                assert it.port._router._map.outdated, "another node may have taken over"
                assert await it.port.call(incr(keys[other])) == 2, "half of its time was left"
            assert frozen.client.get(keys[frozen]) in {b"1", b"2"}

    colour.run(scenario)


def test_a_pipeline_with_a_frozen_node(colour: Colour, cluster: Cluster, namespace: str) -> None:
    """Pipelines and steps over several nodes end in time as a whole."""
    keys = placed(cluster, namespace)
    dead, alive = keys[cluster.primaries[0]], keys[cluster.primaries[1]]

    async def scenario() -> None:
        async with opened(colour, f"{cluster.url}{SLOW}") as it:
            assert await it.port.pipeline([incr(key) for key in keys.values()]) == [1, 1, 1]
            with cluster.primaries[0].paused():
                started = time.monotonic()
                with pytest.raises(BackendTimeout):
                    await it.port.steps([get(alive)], [get(dead)], [incr(alive)])
                assert time.monotonic() - started < ENOUGH
                await gives_up(it, incr(alive), incr(dead))

    colour.run(scenario)


def test_a_slot_on_the_move(colour: Colour, cluster: Cluster, namespace: str) -> None:
    """Who has no time for another try is told why, before his patience ends; others go on trying as ever."""
    keys = [f"{{{namespace}}}:1", f"{{{namespace}}}:2"]

    async def scenario() -> None:
        async with opened(colour, f"{cluster.url}{SLOW}") as it:
            for key in keys:
                await it.port.call(put(key, b"v", 60))
            move = cluster.move(keys[0])
            move.begin()
            move.carry(keys[0])
            with pytest.raises(BackendUnavailable, match="slots are being moved"):
                await it.port.call(mget(keys)._replace(patience=PATIENCE))
            assert it.port._router._impatient_until == 0
            move.finish()
            assert await it.port.call(mget(keys)._replace(patience=15)) == [b"v", b"v"]
            assert await it.port.steps([put(keys[0], b"w", 60)], [mget(keys)._replace(patience=15)]) == [
                b"OK",
                [b"w", b"v"],
            ]

    colour.run(scenario)
