"""Promises of the multiplexed connection to callers with a deadline, against a server whose every byte is decided."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import pytest

from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken
from holdfast.backend.multiplex import Multiplex
from holdfast.backend.waiting import Hurried
from holdfast.commands import Command, Reply, get, put
from support.waiting import until
from unit.backend.multiplexed import ASYNC, against, heard
from unit.backend.scripted import Peer

INCR = Command(("INCR", "n"), ("n",))
SLOW: Final = "?socket_timeout=20"


@pytest.fixture(autouse=True)
def _a_busy_machine_is_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.backend.deadline._LAG", 60.0)


def ask(connection: Multiplex, command: Command, patience: float | None) -> asyncio.Task[Reply]:
    return asyncio.ensure_future(connection.ask(command, None if patience is None else Deadline(patience)))


async def late(call: asyncio.Future[Reply]) -> WireBroken:
    with pytest.raises(WireBroken) as caught:
        await asyncio.wait_for(asyncio.shield(call), 5)
    assert caught.value.how == "late"
    return caught.value


def test_a_late_reply_drops_out() -> None:
    """Each of the others gets its own, before and behind it, on the same connection; the server is to blame."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        before, mine, after = ask(connection, get("a"), None), ask(connection, INCR, 0.2), ask(connection, get("b"), 15)
        await heard(peer, 3)
        broken = await late(mine)
        assert (broken.sent, broken.fair) == (True, True)
        peer.say(b"+a\r\n:1\r\n+b\r\n")
        assert [await before, await after] == [b"a", b"b"]
        assert connection.is_open
        assert not connection._pending

    against(scenario, SLOW)


def test_a_late_pipeline_drops_out() -> None:
    """All of its replies do, also those that came in time."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        mine = asyncio.ensure_future(connection.ask_all([INCR, INCR], Deadline(0.05)))
        after = ask(connection, get("b"), None)
        await heard(peer, 3)
        peer.say(b":1\r\n")
        await late(mine)
        peer.say(b":2\r\n+b\r\n")
        assert await after == b"b"

    against(scenario, SLOW)


def test_one_of_those_who_share_a_reply_is_in_a_hurry() -> None:
    """He leaves, the others wait on."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        calls = [ask(connection, get("hot"), patience) for patience in (15, 0.05, None)]
        await heard(peer, 1)
        await late(calls[1])
        peer.say(b"+hot\r\n")
        assert [await calls[0], await calls[2]] == [b"hot"] * 2
        assert len(peer.heard) == 1

    against(scenario, SLOW)


@pytest.mark.parametrize("order", [(0.05, 0.15, 0.1), (0.15, 0.05, 0.1), (15, 0.1, 0.05, 0.15), (0.05, 15, 0.1, 0.15)])
def test_each_has_its_own_patience(order: tuple[float, ...]) -> None:
    """In whatever order they come: the less patient leave first, those who are answered do not."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        left: list[float] = []
        calls = {patience: ask(connection, INCR, patience) for patience in order}
        for patience, call in calls.items():
            call.add_done_callback(lambda _, patience=patience: left.append(patience))
        for patience in (0.05, 0.1, 0.15):
            await late(calls[patience])
        assert left == [0.05, 0.1, 0.15]
        await heard(peer, len(order))
        peer.say(b":7\r\n" * len(order))
        if 15 in calls:
            assert await calls[15] == 7

    against(scenario, SLOW)


def test_one_timer_watches_all() -> None:
    """A thousand calls with one patience, one after the other, use a timer or two, and leave nothing behind."""
    timers = 0

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        nonlocal timers
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def counted(*args: object) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return call_later(*args)  # type: ignore[arg-type]

        loop.call_later = counted  # type: ignore[method-assign, assignment]
        for _ in range(10):
            calls = [ask(connection, INCR, 0.3) for _ in range(100)]
            await asyncio.sleep(0)
            connection.data_received(b":1\r\n" * 100)
            await asyncio.gather(*calls)
        await ASYNC.until(lambda: not connection._hurried._queue, "they are forgotten")
        loop.call_later = call_later  # type: ignore[method-assign]
        assert timers < 200, "most of them are those of this test's own waiting"
        assert connection._hurried._alarm is None

    against(scenario, SLOW)


def test_who_was_answered_is_forgotten_together() -> None:
    """When the alarm rings, all who were answered leave at once; it is set again for the first who still waits."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        hurried = Hurried(loop, lambda *_: None)
        for number in range(10):
            future = loop.create_future()
            hurried.add(future, number, Deadline(10 + number))
            if number < 9:
                future.set_result(b"x")
        hurried._ring()
        assert [number for _, number, *_ in hurried._queue] == [9]
        assert hurried._alarm is not None
        assert hurried._alarm.when() - loop.time() == pytest.approx(19, abs=5)
        hurried.forget()
        assert hurried._alarm is None

    asyncio.run(scenario())


HELD_UP: Final = 0.15
"""Seconds for which a loop does something else, longer than anybody's patience here."""


@pytest.mark.parametrize("several", [False, True], ids=["a command", "a pipeline"])
def test_a_loop_that_is_held_up_before_it_writes(several: bool) -> None:
    """The server has the whole patience all the same, of every caller, and who is not held up leaves on time."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        commands = [INCR, INCR] if several else [INCR]
        call = asyncio.ensure_future(connection.ask_all(commands, Deadline(0.12)))
        await asyncio.sleep(0)
        time.sleep(HELD_UP)  # noqa: ASYNC251 - the write has not left
        await heard(peer, len(commands))
        hurried = ask(connection, INCR, 0.02)
        await late(hurried)
        assert not call.done()
        peer.say(b":1\r\n" * len(commands))
        assert await call == [1] * len(commands)

    against(scenario, SLOW)


def test_a_server_that_hangs_behind_a_loop_that_was_held_up() -> None:
    """Its caller leaves after his patience and what the loop took of it, no later, and the server is to blame."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        started = time.monotonic()
        call = ask(connection, INCR, 0.1)
        await asyncio.sleep(0)
        time.sleep(HELD_UP)  # noqa: ASYNC251 - the write has not left
        assert (await late(call)).fair
        deadline_over = time.monotonic() - started
        assert HELD_UP + 0.1 - 0.01 <= deadline_over < HELD_UP + 0.1 + 2
        assert len(peer.heard) == 1

    against(scenario, SLOW)


def test_a_reply_that_is_here_unread_counts() -> None:
    """Whoever's time is over when the loop has not looked at its socket yet gets what is in there."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        call = ask(connection, INCR, 0.05)
        await heard(peer, 1)
        peer.say(b":1\r\n")
        until(connection._has_news, "the reply is here, unread")
        time.sleep(0.06)  # noqa: ASYNC251 - the loop has not looked
        connection._hurried._ring()  # as in a loop that looks at its timers first
        assert await call == 1

    against(scenario, SLOW)


def test_a_timer_that_rings_before_the_write() -> None:
    """A loop that looks at its timers first has not sent the command yet: its wait has not begun."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        call = connection.begin(INCR, Deadline(0.05))
        assert call is not None
        time.sleep(0.06)  # noqa: ASYNC251 - nothing has left
        connection._hurried._ring()
        await heard(peer, 1)
        peer.say(b":1\r\n")
        assert await call == 1

    against(scenario, SLOW)


def test_news_of_others_keep_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies to others that go on coming do not hold up who is out of time."""
    monkeypatch.setattr(Multiplex, "_has_news", lambda _: True)

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        mine, other = ask(connection, get("a"), 0.05), ask(connection, get("b"), None)
        await heard(peer, 2)
        await late(mine)
        peer.say(b"+a\r\n+b\r\n")
        assert await other == b"b"

    against(scenario, SLOW)


def test_no_room_in_time() -> None:
    """Who waits for the server to read leaves in time, is not sent, and the queue goes on without him."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        peer.stop_reading()
        big = [ask(connection, put("k", b"x" * 300_000, 5), None) for _ in range(25)]
        await ASYNC.until(lambda: connection._waiting, "callers wait")
        broken = await late(ask(connection, INCR, 0.2))
        assert (broken.sent, broken.fair) == (False, True)
        last = ask(connection, INCR, 15)
        await asyncio.sleep(0)
        peer.read_on()
        for number, call in enumerate([*big, last], 1):
            await heard(peer, number)
            peer.say(b"+OK\r\n")
            assert await call == b"OK"
        assert [words[0] for words in peer.heard] == [b"SET"] * 25 + [b"INCR"]

    against(scenario, SLOW, receive_buffer=4096)


def test_nothing_is_sent_when_it_is_over() -> None:
    """Neither a command nor a pipeline, and the server is not blamed."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        for call in (connection.ask(INCR, Deadline(0)), connection.ask_all([INCR], Deadline(0))):
            broken = await late(asyncio.ensure_future(call))
            assert (broken.sent, broken.fair) == (False, False)
        assert await answered(connection, peer) == 1
        assert len(peer.heard) == 1

    against(scenario, SLOW)


async def answered(connection: Multiplex, peer: Peer) -> Reply:
    """Call the short way."""
    count = len(peer.heard)
    future = connection.begin(INCR, Deadline(15))
    assert future is not None
    await heard(peer, count + 1)
    peer.say(b":1\r\n")
    return await future


def test_the_short_way_looks_before_it_sends() -> None:
    """What must not be repeated is not written into an idle connection that the server has ended; else it is."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        assert await answered(connection, peer) == 1
        peer.close()
        until(connection._has_news, "the end of the stream is here")
        assert connection.is_open, "the loop has not been told yet"
        assert connection.begin(INCR, None) is None
        with pytest.raises(WireBroken) as caught:
            await connection.ask(INCR)
        assert not caught.value.sent

    against(scenario, SLOW)
