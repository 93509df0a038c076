"""Promises of the blocking wire to callers with a deadline, plain and over TLS."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import pytest

from holdfast.backend.connections import open_blocking
from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken
from holdfast.backend.url import parse
from holdfast.backend.wire import SocketWire
from holdfast.commands import Command, get, put
from support.programs import programs
from support.standalone import Standalone
from support.waiting import until
from unit.backend.scripted import Scripted, scripted
from unit.backend.test_wire import CountedSocket, answer, connect, server  # noqa: F401 - a fixture

INCR = Command(("INCR", "n"), ("n",))
SLOW: Final = "?socket_timeout=20"


@pytest.fixture(autouse=True)
def _a_busy_machine_is_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.backend.deadline._LAG", 60.0)


def late(wire: SocketWire, *commands: Command, patience: float = 0.06) -> WireBroken:
    """Return what a caller in a hurry is told, in time."""
    started = time.monotonic()
    with pytest.raises(WireBroken) as caught:
        wire.ask_all(commands, Deadline(patience)) if len(commands) > 1 else wire.ask(*commands, Deadline(patience))
    assert patience * 0.8 <= time.monotonic() - started < 5
    assert (caught.value.how, caught.value.sent) == ("late", True)
    return caught.value


def speak(wire: SocketWire, patience: float | None) -> bytes:
    deadline = None if patience is None else Deadline(patience)
    found: bytes = wire.ask(get("k"), deadline)
    return found


def test_the_time_out_is_set_once(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Whoever is patient or not, in any order: the first hurried command sets the socket, once."""
    moments = count(1000.0, 0.000_1)
    monkeypatch.setattr("holdfast.backend.deadline.monotonic", lambda: next(moments))
    wire, peer = connect(server, SLOW)
    counted = CountedSocket(wire._sock)
    wire._sock = counted  # type: ignore[assignment]
    for patience in (None, 15, None, 15, 15, None):
        peer.heard.clear()
        answer(peer, b"$1\r\nx\r\n")
        assert speak(wire, patience) == b"x"
    assert counted.calls.count("setsockopt") == 1
    assert counted.calls.count("settimeout") == 0
    wire.close()


@pytest.mark.parametrize("number", [1, 2])
def test_silence(server: Scripted, number: int) -> None:  # noqa: F811
    """A reply that does not come in time is told in time, of one command as of several, and blamed on the server."""
    wire, _ = connect(server, SLOW)
    assert late(wire, *[INCR] * number, patience=0.2).fair
    wire.close()


class Dozing:
    """A socket whose reader wakes up long after its time-out, when the reply is there."""

    def __init__(self, sock: socket.socket, meanwhile: Callable[[], None]) -> None:
        self._sock = sock
        self._meanwhile = meanwhile
        self.dozed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, buffer: memoryview) -> int:
        try:
            return self._sock.recv_into(buffer)
        except BlockingIOError:
            self.dozed += 1
            self._meanwhile()
            raise


@pytest.mark.parametrize("patience", [0.05, None], ids=["a deadline", "a time-out"])
def test_a_reply_that_is_here_when_a_thread_wakes_late_counts(server: Scripted, patience: float | None) -> None:  # noqa: F811
    """Whoever slept through the end of his patience looks once before he gives up, and does not wait for more."""
    wire, peer = connect(server, SLOW)
    wire._timeout = 0.1

    def answer_late() -> None:
        peer.has_heard(1)
        peer.say(b"$1\r\nx\r\n")
        until(wire._has_arrived, "the reply is here")

    dozing = Dozing(wire._sock, answer_late)
    wire._sock = dozing  # type: ignore[assignment]
    wire._wait_for(0.1)
    assert speak(wire, patience) == b"x"
    assert dozing.dozed == 1
    wire.close()


def test_drops_of_a_reply(server: Scripted) -> None:  # noqa: F811
    """The deadline is for the whole reply, not for each part of it."""
    wire, peer = connect(server, SLOW)
    over = threading.Event()

    def drip() -> None:
        peer.has_heard(1)
        peer.say(b"$9999\r\n")
        while not over.wait(0.02):
            peer.say(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    late(wire, INCR)
    over.set()
    thread.join()
    wire.close()


def test_a_server_that_does_not_read() -> None:
    """A value that the server does not take is given up in time, too."""
    with scripted(receive_buffer=4096) as deaf:
        wire, peer = connect(deaf, SLOW)
        peer.stop_reading()
        late(wire, put("k", b"x" * (1 << 26), 5))
        wire.close()
        peer.read_on()


def test_the_socket_s_own_time_out_is_still_one(server: Scripted) -> None:  # noqa: F811
    """If that is shorter than the patience, it is a time-out as ever."""
    wire, _ = connect(server, SLOW)
    wire._timeout = 0.05
    with pytest.raises(WireBroken) as caught:
        wire.ask(INCR, Deadline(15))
    assert caught.value.how == "timeout"
    wire.close()


def test_the_patient_wait_for_all_of_their_time(server: Scripted) -> None:  # noqa: F811
    """After a hurried command the next one has its whole time-out again, and no more."""
    wire, peer = connect(server, SLOW)
    wire._timeout = 0.2
    answer(peer, b"$1\r\nx\r\n")
    assert speak(wire, 0.05) == b"x"
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(WireBroken) as caught:
            wire.ask(INCR)
        assert caught.value.how == "timeout"
        assert 0.18 <= time.monotonic() - started < 5
    wire.close()


def test_a_caller_who_came_late_does_not_blame_the_server(server: Scripted) -> None:  # noqa: F811
    """When most of the time went by before the wire was lent, in a queue say, the server had no chance."""
    wire, _ = connect(server, SLOW)
    deadline = Deadline(0.1)
    wire.since = deadline.at - 0.02
    with pytest.raises(WireBroken) as caught:
        wire.ask(INCR, deadline)
    assert (caught.value.how, caught.value.fair) == ("late", False)
    wire.close()


def test_over_tls() -> None:
    """Where the kernel cannot keep the time-outs, hurried and patient commands, big and small, have theirs too."""
    program = next((each for each in programs() if each.speaks_tls), None)
    if program is None:
        pytest.skip("no redis-server here speaks TLS")
    with Standalone(program, tls=True) as secure:
        topology = parse(f"{secure.tls_url}&socket_timeout=20")
        wire = SocketWire(*open_blocking(topology, topology.addresses[0]), 20)
        big = put("k", b"x" * 100_000, 60)
        assert wire.ask(big, Deadline(15)) == b"OK"
        assert 10 < (wire._sock.gettimeout() or 0) <= 15
        assert wire.ask(big) == b"OK"
        assert wire._sock.gettimeout() == 20
        assert wire.ask(INCR, Deadline(15)) == 1
        with secure.paused():
            late(wire, INCR)
        wire.close()
