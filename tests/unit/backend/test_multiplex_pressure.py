"""Promises of the multiplexed connection when there is too much: big values, bursts, a server that does not read."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.backend.failures import WireBroken
from holdfast.backend.multiplex import Multiplex
from holdfast.commands import get, put
from unit.backend.multiplexed import ASYNC, against, heard
from unit.backend.scripted import Peer


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
        await ASYNC.until(lambda: connection._waiting, "callers wait")
        buffered = connection._transport.get_write_buffer_size() + sum(map(len, connection._outgoing))
        assert buffered < 2_000_000
        assert len(connection._waiting) > 300
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
        assert not connection._waiting

    against(scenario, "?socket_timeout=30", receive_buffer=4096)


def test_a_cancelled_invitation_passes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """When who was given room is cancelled before coming in, the next one in the queue gets it."""
    monkeypatch.setattr("holdfast.backend.multiplex._MOST_PENDING", 1)

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        calls = [asyncio.ensure_future(connection.ask(get(name))) for name in "abcd"]
        await heard(peer, 1)
        calls[1].cancel()  # while it waits for room
        await asyncio.sleep(0)
        connection.data_received(b"+a\r\n")
        calls[2].cancel()  # when it has been given room, and has not come in yet
        await heard(peer, 2)
        assert peer.heard[1] == [b"GET", b"d"]
        peer.say(b"+d\r\n")
        assert await calls[0] == b"a"
        assert await calls[3] == b"d"
        assert calls[1].cancelled()
        assert calls[2].cancelled()

    against(scenario)


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


def test_closing_answers_everybody() -> None:
    """Whoever waits for a reply or for room when the connection is closed is told, at once."""

    async def scenario(connection: Multiplex, peer: Peer) -> None:
        peer.stop_reading()
        calls = [asyncio.ensure_future(connection.ask(put("k", b"x" * 300_000, 5))) for _ in range(50)]
        await ASYNC.until(lambda: connection._waiting, "callers wait")
        await connection.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {WireBroken}
        assert {outcome.how for outcome in outcomes} == {"closed"}
        assert {outcome.sent for outcome in outcomes} == {True, False}
        peer.read_on()

    against(scenario, "?socket_timeout=30", receive_buffer=4096)
