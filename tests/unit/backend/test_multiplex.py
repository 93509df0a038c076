"""Promises of the multiplexed connection, against a server whose every byte the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast.backend.connections import open_asyncio
from holdfast.backend.failures import WireBroken
from holdfast.backend.multiplex import Multiplex
from holdfast.backend.url import parse
from holdfast.commands import Command, get, put
from support.colours import Colour
from unit.backend.scripted import Peer, Scripted, scripted

INCR = Command(("INCR", "n"), ("n",))
ASYNC = Colour("async")


@asynccontextmanager
async def connected(server: Scripted, options: str = "") -> AsyncIterator[tuple[Multiplex, Peer]]:
    topology = parse(f"{server.url}{options}")
    connection = Multiplex(*await open_asyncio(topology, topology.addresses[0]), topology.socket_timeout)
    await ASYNC.until(lambda: server.peers, "the server sees it")
    try:
        yield connection, server.peers[-1]
    finally:
        await connection.close()


def against(scenario: Callable[[Multiplex, Peer], Any], options: str = "", receive_buffer: int = 0) -> None:
    """Run a scenario on a connection to a scripted server."""

    async def run(server: Scripted) -> None:
        async with connected(server, options) as (connection, peer):
            await scenario(connection, peer)

    with scripted(receive_buffer) as server:
        asyncio.run(run(server))


async def heard(peer: Peer, count: int) -> None:
    await ASYNC.until(lambda: len(peer.heard) >= count, f"{count} commands are heard")


def test_commands_of_one_tick_leave_in_one_write() -> None:
    """A hundred callers of one tick cost one packet each way, and each gets its own reply."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        calls = [asyncio.ensure_future(connection.ask(get(f"k{number}"))) for number in range(100)]
        await heard(peer, 100)
        assert len(peer.chunks) == 1
        peer.say(b"".join(b"+%d\r\n" % number for number in range(100)))
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(100)]

    against(scenario)


def test_callers_of_one_key_in_one_tick_share_a_read() -> None:
    """One GET is sent for all who asked before it left; who asks after that sends another."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        early = [asyncio.ensure_future(connection.ask(get("hot"))) for _ in range(5)]
        other = asyncio.ensure_future(connection.ask(get("cold")))
        await heard(peer, 2)
        late = asyncio.ensure_future(connection.ask(get("hot")))
        await heard(peer, 3)
        assert [words[1] for words in peer.heard] == [b"hot", b"cold", b"hot"]
        peer.say(b"+old\r\n+cold\r\n+new\r\n")
        assert await asyncio.gather(*early) == [b"old"] * 5
        assert [await other, await late] == [b"cold", b"new"]

    against(scenario)


def test_a_shared_read_survives_those_who_leave_and_tells_all_of_its_end() -> None:
    """Whoever of them is cancelled, the first one too, the others get the reply, or hear that there will be none."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        calls = [asyncio.ensure_future(connection.ask(get("hot"))) for _ in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        await heard(peer, 1)
        calls[1].cancel()
        peer.say(b"+hot\r\n")
        assert await calls[2] == b"hot"
        assert calls[0].cancelled()
        assert calls[1].cancelled()
        assert not connection._pending
        doomed = [asyncio.ensure_future(connection.ask(get("hot"))) for _ in range(3)]
        await heard(peer, 2)
        connection.connection_lost(ConnectionResetError())
        for call in doomed:
            with pytest.raises(WireBroken):
                await call

    against(scenario)


def test_replies_split_at_every_byte() -> None:
    """Wherever the packets are cut, every caller gets its own reply."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        replies = b"$3\r\none\r\n:2\r\n*2\r\n$1\r\na\r\n$-1\r\n-ERR no\r\n"
        for cut in range(1, len(replies)):
            calls = [asyncio.ensure_future(connection.ask(get(f"k{number}"))) for number in range(4)]
            await heard(peer, 4)
            peer.heard.clear()
            peer.say(replies[:cut])
            await asyncio.sleep(0)
            peer.say(replies[cut:])
            one, two, three, four = await asyncio.gather(*calls)
            assert (one, two, three, str(four)) == (b"one", 2, [b"a", None], "ERR no")

    against(scenario)


def test_push_messages_go_by() -> None:
    """What a RESP3 server pushes is nobody's reply."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        push = b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"
        peer.say(push)
        calls = [asyncio.ensure_future(connection.ask(get(f"k{number}"))) for number in range(2)]
        await heard(peer, 2)
        peer.say(push + b"+one\r\n" + push + b"+two\r\n" + push)
        assert await asyncio.gather(*calls) == [b"one", b"two"]

    against(scenario)


@pytest.mark.parametrize("words", [b"+whose\r\n", b"HTTP/1.1 400 Bad Request\r\n"])
def test_an_unasked_reply_ends_the_connection(words: bytes) -> None:
    """After a reply that nobody asked for, or nonsense, the connection is not used again."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        peer.say(words)
        await ASYNC.until(lambda: not connection.is_open, "it notices")
        with pytest.raises(WireBroken) as caught:
            await connection.ask(INCR)
        assert (caught.value.how, caught.value.sent) == ("lost", False)
        assert caught.value.may_resend(INCR)

    against(scenario)


def test_a_cancelled_caller_cancels_only_its_own_wait() -> None:
    """Cancelled before it was sent, or while it waits: the others get their own replies."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        calls = [asyncio.ensure_future(connection.ask(get(f"k{number}"))) for number in range(10)]
        await asyncio.sleep(0)
        calls[3].cancel()  # taken, not sent yet
        await heard(peer, 10)
        calls[5].cancel()
        peer.say(b"".join(b"+%d\r\n" % number for number in range(10)))
        replies = await asyncio.gather(*calls, return_exceptions=True)
        for number, reply in enumerate(replies):
            assert reply == b"%d" % number or (number in {3, 5} and isinstance(reply, asyncio.CancelledError))
        assert connection.is_open
        assert not connection._pending

    against(scenario)


def test_a_pipeline_is_one_write_and_one_list() -> None:
    """Commands of a pipeline stay together, between others; a cancelled pipeline takes no one else's replies."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        before = asyncio.ensure_future(connection.ask(get("a")))
        gone = asyncio.ensure_future(connection.ask_all([get("b"), get("c"), get("d")]))
        kept = asyncio.ensure_future(connection.ask_all([get("e"), get("f")]))
        after = asyncio.ensure_future(connection.ask(get("g")))
        await heard(peer, 7)
        assert [words[1] for words in peer.heard] == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
        peer.say(b"+a\r\n+b\r\n")
        await before
        gone.cancel()
        peer.say(b"+c\r\n+d\r\n+e\r\n")
        await asyncio.sleep(0.01)
        peer.say(b"+f\r\n+g\r\n")
        assert await kept == [b"e", b"f"]
        assert await after == b"g"
        assert gone.cancelled()

    against(scenario)


def test_a_break_tells_every_caller_what_was_sent() -> None:
    """Whose command was sent may have been executed; whose was not may be sent again."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        sent = asyncio.ensure_future(connection.ask(INCR))
        batch = asyncio.ensure_future(connection.ask_all([INCR, get("k")]))
        await heard(peer, 3)
        peer.say(b":1\r\n:2\r\n")
        assert await sent == 1
        unsent = asyncio.ensure_future(connection.ask(INCR))
        await asyncio.sleep(0)
        connection.connection_lost(ConnectionResetError())
        for call, was_sent in ((batch, True), (unsent, False)):
            with pytest.raises(WireBroken) as caught:
                await call
            assert (caught.value.how, caught.value.sent) == ("lost", was_sent)

    against(scenario)


def test_an_end_that_came_while_the_loop_slept_is_noticed_first() -> None:
    """A connection that died unnoticed does not swallow a command that must not be sent twice."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        peer.close()
        until_gone = asyncio.get_running_loop().time() + 0.05
        while asyncio.get_running_loop().time() < until_gone:
            pass  # the loop is busy and sees nothing
        assert connection.is_open
        with pytest.raises(WireBroken) as caught:
            await connection.ask(INCR)
        assert caught.value.may_resend(INCR)

    against(scenario)


def test_silence_is_a_time_out_and_progress_is_not() -> None:
    """The watchdog strikes when nothing comes for `socket_timeout`, not when replies merely take long in all."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        calls = [asyncio.ensure_future(connection.ask(get(f"k{number}"))) for number in range(6)]
        await heard(peer, 6)
        for _ in range(5):
            await asyncio.sleep(0.08)
            peer.say(b"+x\r\n")
        assert await asyncio.gather(*calls[:5]) == [b"x"] * 5
        unsent_or_silent = calls[5]
        with pytest.raises(WireBroken) as caught:
            await unsent_or_silent
        assert (caught.value.how, caught.value.sent) == ("timeout", True)

    against(scenario, "?socket_timeout=0.2")


def test_an_idle_connection_is_not_watched_to_death() -> None:
    """Without commands under way, silence means nothing."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        call = asyncio.ensure_future(connection.ask(get("k")))
        await heard(peer, 1)
        peer.say(b"+x\r\n")
        assert await call == b"x"
        await asyncio.sleep(0.15)
        assert connection.is_open
        assert connection._watchdog is None

    against(scenario, "?socket_timeout=0.05")


def test_big_values_both_ways() -> None:
    """Sixteen megabytes go out and come back whole."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        value = bytes(range(256)) * 65536
        call = asyncio.ensure_future(connection.ask(put("k", value, 5)))
        await heard(peer, 1)
        assert peer.heard[0][2] == value
        peer.say(b"+OK\r\n")
        assert await call == b"OK"
        call = asyncio.ensure_future(connection.ask(get("k")))
        await heard(peer, 2)
        saying = asyncio.to_thread(peer.say, b"$%d\r\n%b\r\n" % (len(value), value))
        assert (await asyncio.gather(call, saying))[0] == value

    against(scenario, "?socket_timeout=30")


def test_a_server_that_does_not_read_makes_callers_wait() -> None:
    """Back-pressure: a few values fill the buffers, the other callers wait with theirs; cancelled ones make room."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        peer.stop_reading()
        value = b"x" * 100_000
        calls = [asyncio.ensure_future(connection.ask(put(f"k{number}", value, 5))) for number in range(500)]
        await ASYNC.until(lambda: connection._room, "callers wait")
        buffered = connection._transport.get_write_buffer_size() + sum(map(len, connection._outgoing))
        assert buffered < 2_000_000
        assert len(connection._room) > 300
        for call in calls[1::2]:
            call.cancel()
        await asyncio.sleep(0)
        peer.read_on()
        for number in range(0, 500, 2):
            await ASYNC.until(lambda: calls[number].done() or connection._pending, "it has its turn")  # noqa: B023
            while not calls[number].done():
                peer.say(b"+OK\r\n" * len(connection._pending))
                await asyncio.sleep(0.001)
        assert [await call for call in calls[0::2]] == [b"OK"] * 250
        assert not connection._room

    against(scenario, "?socket_timeout=30", receive_buffer=4096)


def test_a_burst_is_served_in_order() -> None:
    """Forty thousand commands of one tick all get their own reply, though a part of them is pending at a time."""
    count = 40_000

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        most = 0

        def serve() -> None:
            said = 0
            while said < count:
                peer.has_heard(said + 1)
                heard = peer.heard[said:]
                peer.say(b"".join(b"$%d\r\n%b\r\n" % (len(words[1]), words[1]) for words in heard))
                said += len(heard)

        async def call(number: int) -> bool:
            nonlocal most
            most = max(most, len(connection._pending))
            return await connection.ask(get(f"k{number}")) == b"k%d" % number

        serving = asyncio.get_running_loop().run_in_executor(None, serve)
        assert all(await asyncio.gather(*map(call, range(count))))
        await serving
        assert most <= 10_000

    against(scenario, "?socket_timeout=60")


def test_a_retired_connection_finishes_its_work() -> None:
    """A connection that is left for another takes nothing new, answers what is under way, and closes."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        call = asyncio.ensure_future(connection.ask(INCR))
        await heard(peer, 1)
        connection.retire()
        with pytest.raises(WireBroken) as caught:
            await connection.ask(INCR)
        assert caught.value.may_resend(INCR)
        peer.say(b":1\r\n")
        assert await call == 1
        await connection.closed

    against(scenario)


def test_closing_answers_everybody() -> None:
    """Whoever waits for a reply or for room when the connection is closed is told, at once."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        peer.stop_reading()
        calls = [asyncio.ensure_future(connection.ask(put("k", b"x" * 300_000, 5))) for _ in range(50)]
        await ASYNC.until(lambda: connection._room, "callers wait")
        await connection.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {WireBroken}
        assert {outcome.how for outcome in outcomes} == {"closed"}
        assert {outcome.sent for outcome in outcomes} == {True, False}
        peer.read_on()

    against(scenario, "?socket_timeout=30", receive_buffer=4096)
