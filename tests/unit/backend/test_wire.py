"""Promises of the blocking wire, against a server whose every byte the test decides."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast.backend.connections import open_blocking
from holdfast.backend.failures import WireBroken
from holdfast.backend.url import parse
from holdfast.backend.wire import SPOILT, SocketWire
from holdfast.commands import Command, get, put
from support.waiting import until
from unit.backend.scripted import Peer, Scripted, scripted

INCR = Command(("INCR", "n"), ("n",))


class CountedSocket:
    """Counts the system calls that go through a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sock, name)
        if name in {"sendall", "send", "recv", "recv_into", "settimeout", "setsockopt", "setblocking", "getsockopt"}:
            self.calls.append(name)
        return found


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


def connect(server: Scripted, options: str = "") -> tuple[SocketWire, Peer]:
    topology = parse(f"{server.url}{options}")
    index = len(server.peers)
    wire = SocketWire(*open_blocking(topology, topology.addresses[0]), topology.socket_timeout)
    return wire, server.peer(index)


def answer(peer: Peer, *parts: bytes) -> None:
    """Answer the next command in parts."""

    def speak() -> None:
        peer.has_heard(1)
        for part in parts:
            peer.say(part)

    threading.Thread(target=speak).start()


def test_a_get_is_one_send_and_one_recv(server: Scripted) -> None:
    """A GET costs exactly one send and one recv: no probe, no time-out to set."""
    wire, peer = connect(server)
    counted = CountedSocket(wire._sock)
    wire._sock = counted  # type: ignore[assignment]
    answer(peer, b"$1\r\nx\r\n")
    assert wire.ask(get("k")) == b"x"
    assert counted.calls == ["sendall", "recv_into"]
    wire.close()


def test_replies_in_pieces(server: Scripted) -> None:
    """A reply that comes byte by byte is the same reply."""
    wire, peer = connect(server)
    reply = b"*2\r\n$5\r\nhello\r\n:42\r\n"
    answer(peer, *(reply[index : index + 1] for index in range(len(reply))))
    assert wire.ask(get("k")) == [b"hello", 42]
    wire.close()


def test_big_values_both_ways(server: Scripted) -> None:
    """Sixteen megabytes go out and come back whole."""
    wire, peer = connect(server, "?socket_timeout=30")
    value = bytes(range(256)) * 65536
    answer(peer, b"+OK\r\n")
    assert wire.ask(put("k", value, 5)) == b"OK"
    assert peer.heard[0][2] == value
    answer(peer, b"$%d\r\n%b\r\n" % (len(value), value))
    assert wire.ask(get("k")) == value
    wire.close()


def test_push_messages_go_by(server: Scripted) -> None:
    """What a RESP3 server pushes before, between and after replies is nobody's reply."""
    wire, peer = connect(server)
    push = b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"
    answer(peer, push, b"+one\r\n", push)
    assert wire.ask(get("k")) == b"one"
    answer(peer, push, b"+two\r\n", push, push, b"+three\r\n", push)
    assert wire.ask_all([get("k"), get("k")]) == [b"two", b"three"]
    wire.close()


def test_a_reply_too_many_spoils_the_wire(server: Scripted) -> None:
    """After a reply that nobody asked for, this one is right and the wire is not used again."""
    wire, peer = connect(server)
    answer(peer, b"+mine\r\n+whose\r\n")
    assert wire.ask(get("k")) == b"mine"
    assert wire.generation == SPOILT
    wire.close()


@pytest.mark.parametrize("rest", [b"+whose", b"whose\r\n"])
def test_a_piece_too_many_spoils_the_wire(server: Scripted, rest: bytes) -> None:
    """Neither half a reply nor nonsense behind a reply is left for the next caller."""
    wire, peer = connect(server)
    answer(peer, b"+mine\r\n" + rest)
    assert wire.ask(get("k")) == b"mine"
    assert wire.generation == SPOILT
    wire.close()


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n", b"*1\r\nx", b"$-7\r\n"])
def test_another_protocol_is_told(server: Scripted, nonsense: bytes) -> None:
    """A server that speaks something else breaks the wire; hiredis' own error does not get out."""
    wire, peer = connect(server)
    answer(peer, nonsense)
    with pytest.raises(WireBroken) as caught:
        wire.ask(get("k"))
    assert (caught.value.how, caught.value.detail) == ("lost", "not the Redis protocol")
    wire.close()


@pytest.mark.parametrize("half", [b"", b"$10\r\nhal"])
def test_an_end_before_or_inside_a_reply(server: Scripted, half: bytes) -> None:
    """A connection that ends before the reply is whole is lost, and the command may have been executed."""
    wire, peer = connect(server)

    def hang_up() -> None:
        peer.has_heard(1)
        peer.say(half)
        peer.close()

    threading.Thread(target=hang_up).start()
    with pytest.raises(WireBroken) as caught:
        wire.ask(INCR)
    assert (caught.value.how, caught.value.sent) == ("lost", True)
    assert not caught.value.may_resend(INCR)
    assert caught.value.may_resend(get("k"))
    wire.close()


def test_silence_is_a_time_out(server: Scripted) -> None:
    """A server that says nothing for `socket_timeout` seconds is a time-out, after which nothing is sent again."""
    wire, _ = connect(server, "?socket_timeout=0.05")
    with pytest.raises(WireBroken) as caught:
        wire.ask(get("k"))
    assert (caught.value.how, caught.value.sent) == ("timeout", True)
    assert not caught.value.may_resend(get("k"))
    wire.close()


def test_a_server_that_does_not_read_is_a_time_out() -> None:
    """A value that the server does not take times out instead of blocking for ever."""
    with scripted(receive_buffer=4096) as server:
        wire, peer = connect(server, "?socket_timeout=0.1")
        peer.stop_reading()
        with pytest.raises(WireBroken) as caught:
            wire.ask(put("k", b"x" * (1 << 26), 5))
        assert caught.value.how == "timeout"
        wire.close()
        peer.read_on()


def test_a_tiny_time_out_is_not_for_ever(server: Scripted) -> None:
    """A time-out below what the kernel can express is short, not endless."""
    wire, _ = connect(server)
    wire._timeout = 1e-9
    with pytest.raises(WireBroken):
        wire.ask(get("k"))
    wire.close()


def test_staleness_is_seen(server: Scripted) -> None:
    """A wire is stale when the other side has closed it or sent something, and not otherwise."""
    wire, peer = connect(server)
    assert not wire.is_stale()
    peer.say(b"+unasked\r\n")
    until(wire.is_stale, "the bytes are there")
    wire.close()
    wire, peer = connect(server)
    peer.close()
    until(wire.is_stale, "the end is there")
    wire.close()


def test_interrupt_ends_a_wait(server: Scripted) -> None:
    """A thread that waits for a reply is let go when another interrupts the wire."""
    wire, peer = connect(server, "?socket_timeout=60")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wire.ask, Command(("BLPOP", "k", "0"), ("k",), blocks=0))
        peer.has_heard(1)
        wire.interrupt()
        with pytest.raises(WireBroken):
            waiting.result(30)
    wire.close()
