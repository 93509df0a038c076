"""Promises of the multiplexed connection, against a server whose every byte the test decides."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.backend.failures import WireBroken
from holdfast.backend.multiplex import Multiplex
from holdfast.commands import Command, get
from unit.backend.multiplexed import ASYNC, against, heard
from unit.backend.scripted import Peer

INCR = Command(("INCR", "n"), ("n",))


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
