"""Promises of the subscriber against a server whose every byte the test decides."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from holdfast.backend import subscriber_reader
from holdfast.backend.subscriber import HEALTH, Subscriber
from holdfast.backend.subscriber_open import Opener
from holdfast.backend.url import parse
from support.listening import Notes
from support.waiting import until
from unit.backend.scripted import Peer, Scripted, scripted

REFUSED = b"-ERR unknown command 'HELLO'\r\n"
HELLO, PING = [b"HELLO", b"3"], [b"PING"]


@contextmanager
def subscribing(server: Scripted, *, patience: float = 5.0, **options: float) -> Iterator[Subscriber]:
    """Make a subscriber for a block."""
    opener = Opener(parse(f"{server.url}?socket_timeout={patience}"), list)
    subscriber = Subscriber(opener.open, "here", patience, **options)
    try:
        yield subscriber
    finally:
        subscriber.close()


def confirmation(name: bytes) -> bytes:
    return b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%b\r\n:1\r\n" % (len(name), name)


def accept(server: Scripted, index: int = 0, name: bytes = b"t") -> Peer:
    """Take a connection to the point where its topic is confirmed."""
    peer = server.peer(index)
    peer.has_heard(1)
    peer.say(REFUSED)
    peer.has_heard(2)
    assert peer.heard == [HELLO, [b"SUBSCRIBE", name]]
    peer.say(confirmation(name))
    return peer


def test_an_old_server_or_a_proxy_without_resp3() -> None:
    """A server that refuses HELLO is spoken to in RESP2; one that hangs up is not greeted the next time."""
    with scripted() as server, subscribing(server) as subscriber:
        notes = Notes()
        subscriber.subscribe("t", notes)
        first = server.peer(0)
        first.has_heard(1)
        first.close()
        second = server.peer(1)
        second.has_heard(1)
        assert second.heard == [[b"SUBSCRIBE", b"t"]]
        second.say(confirmation(b"t"))
        notes.wait_for("up")
        second.close()
        accept(server, 2)
        until(lambda: notes.all == ["up", "down", "up"], "it is up again")


def test_a_silent_peer_is_asked_and_given_up() -> None:
    """After some silence comes a PING; an answer keeps the connection, none ends it, within twice the interval."""
    with scripted() as server, subscribing(server, patience=0.1, health=0.1) as subscriber:
        notes = Notes()
        subscriber.subscribe("t", notes)
        peer = accept(server)
        for count in range(3, 6):
            peer.has_heard(count)
            peer.say(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
        peer.has_heard(6)
        asked = time.monotonic()
        assert peer.heard[2:] == [PING] * 4
        until(lambda: notes.all == ["up", "down"], "it is given up")
        assert 0.05 < time.monotonic() - asked < 5
        until(lambda: peer.gone, "the connection is closed")
        accept(server, 1)
        until(lambda: notes.is_up, "it is up again")


def test_the_interval_is_short_enough() -> None:
    """A dead peer is noticed within twice the interval, whatever the time-out of commands."""
    assert HEALTH <= 5
    assert Subscriber(list, "here", 60.0)._patience <= HEALTH  # type: ignore[arg-type]


def test_an_unanswered_subscription_is_given_up() -> None:
    """A peer that does not confirm counts as dead too."""
    with scripted() as server, subscribing(server, patience=0.1, health=0.2) as subscriber:
        notes = Notes()
        subscriber.subscribe("t", notes)
        peer = server.peer()
        peer.has_heard(1)
        peer.say(REFUSED)
        peer.has_heard(2)
        until(lambda: peer.gone, "the connection is closed")
        accept(server, 1)
        notes.wait_for("up")
        assert notes.all == ["up"]


@pytest.mark.parametrize("noise", [b"?what\r\n", b"+OK\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", b"$-1\r\n"])
def test_nonsense_ends_the_connection(noise: bytes) -> None:
    """A peer that does not keep to the protocol is left for a new connection."""
    with scripted() as server, subscribing(server) as subscriber:
        notes = Notes()
        subscriber.subscribe("t", notes)
        accept(server).say(noise)
        accept(server, 1)
        until(lambda: notes.all == ["up", "down", "up"], "it is up again")


def test_subscribing_never_waits() -> None:
    """A peer that reads nothing holds up nobody; what could not be sent follows when it reads on, in order."""
    with scripted(receive_buffer=4096) as server, subscribing(server, patience=60.0, health=60.0) as subscriber:
        subscriber.subscribe("t", Notes())
        peer = accept(server)
        peer.stop_reading()
        names = [f"{number}:" + "x" * 10_000 for number in range(2000)]
        started = time.monotonic()
        for name in names:
            subscriber.subscribe(name, Notes())
        assert time.monotonic() - started < 5
        until(lambda: subscriber._wire is not None and subscriber._wire.is_full, "no more could be sent")
        peer.read_on()
        peer.has_heard(2002)
        assert peer.heard[2:] == [[b"SUBSCRIBE", name.encode()] for name in names]


def test_a_connection_without_listeners_is_kept_a_while() -> None:
    """The next listener finds it; after a while it is closed and the thread ends, and the next opens another."""
    with scripted() as server, subscribing(server, health=60.0, idle=0.3) as subscriber:
        leave = subscriber.subscribe("t", Notes())
        peer = accept(server)
        leave()
        peer.has_heard(3)
        leave = subscriber.subscribe("u", Notes())
        peer.has_heard(4)
        assert peer.heard[2:] == [[b"UNSUBSCRIBE", b"t"], [b"SUBSCRIBE", b"u"]]
        peer.say(b"*3\r\n$11\r\nunsubscribe\r\n$1\r\nt\r\n:0\r\n" + confirmation(b"u"))
        leave()
        peer.has_heard(5)
        peer.say(b"*3\r\n$11\r\nunsubscribe\r\n$1\r\nu\r\n:0\r\n")
        until(lambda: peer.gone, "it is closed")
        until(lambda: subscriber._reins is None, "the thread is not needed")
        subscriber.subscribe("t", Notes())
        accept(server, 1)


def test_a_lost_connection_that_nobody_needs() -> None:
    """It is not opened again."""
    with scripted() as server, subscribing(server) as subscriber:
        leave = subscriber.subscribe("t", Notes())
        peer = accept(server)
        leave()
        peer.has_heard(3)
        peer.close()
        until(lambda: subscriber._reins is None, "the thread is not needed")
        assert len(server.peers) == 1


def test_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again and again, with pauses, and told once; when it is there the listener is up."""
    tries: list[float] = []
    with scripted() as server:
        opener = Opener(parse(server.url), list)

        def connect() -> Any:
            tries.append(time.monotonic())
            if len(tries) < 5:
                raise ConnectionRefusedError("secret")
            return opener.open()

        subscriber, notes = Subscriber(connect, "here", 1.0), Notes()
        subscriber.subscribe("t", notes)
        accept(server)
        notes.wait_for("up")
        subscriber.close()
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert all(pause > shortest / 2 for pause, shortest in zip(pauses, (0.05, 0.1, 0.2, 0.4), strict=False))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "cannot subscribe at here (ConnectionRefusedError); trying again until it works"
    ]


def test_closing_during_a_pause_is_prompt(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A thread that waits for its next try ends at once."""

    def connect() -> Any:
        raise ConnectionRefusedError

    for pause in ("_FIRST_PAUSE", "_LONGEST_PAUSE"):
        monkeypatch.setattr(subscriber_reader, pause, 300.0)
    subscriber = Subscriber(connect, "here", 1.0)
    subscriber.subscribe("t", Notes())
    until(lambda: caplog.records, "it has failed")
    time.sleep(0.05)  # now it pauses; were it not there yet, it would end as soon
    threads = [thread for thread in threading.enumerate() if thread.name == "holdfast-subscriber"]
    subscriber.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody gets an error; it is logged, and the next subscription tries again for all."""
    with scripted() as server, subscribing(server) as subscriber:
        first, second = Notes(), Notes()

        def refuse(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(subscriber_reader.threading.Thread, "start", refuse)
            subscriber.subscribe("t", first)
        assert len(caplog.records) == 1
        subscriber.subscribe("t", second)
        accept(server)
        first.wait_for("up")
        second.wait_for("up")


def test_a_busy_owner_is_not_waited_for() -> None:
    """While a listener is being told, others subscribe and cancel without waiting, and it is done afterwards."""
    entered, release = threading.Event(), threading.Event()

    class Slow(Notes):
        def up(self) -> None:
            super().up()
            entered.set()
            assert release.wait(30)

    with scripted() as server, subscribing(server) as subscriber:
        slow = Slow()
        subscriber.subscribe("t", slow)
        peer = accept(server)
        assert entered.wait(30)
        calls: list[Callable[[], object]] = [subscriber.subscribe("u", Notes()), subscriber.subscribe("v", Notes())]
        calls[0]()
        assert len(peer.heard) == 2
        release.set()
        peer.has_heard(5)
        assert peer.heard[2:] == [[b"SUBSCRIBE", b"u"], [b"SUBSCRIBE", b"v"], [b"UNSUBSCRIBE", b"u"]]


def test_nothing_is_told_after_cancelling() -> None:
    """Not even what has arrived already, while another listener holds things up."""
    entered, release = threading.Event(), threading.Event()

    class Slow(Notes):
        def up(self) -> None:
            super().up()
            entered.set()
            assert release.wait(30)

    with scripted() as server, subscribing(server) as subscriber:
        notes, slow = Notes(), Slow()
        leave = subscriber.subscribe("t", notes)
        subscriber.subscribe("t", slow)
        peer = server.peer()
        peer.has_heard(1)
        peer.say(REFUSED)
        peer.has_heard(2)
        peer.say(confirmation(b"t") + b"*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$1\r\nm\r\n")
        assert entered.wait(30)
        leave()
        release.set()
        slow.wait_for(("t", b"m"))
        assert notes.all == ["up"]
