"""Promises of the book of topics: up only when nothing is missed any more, told once, refused one by one."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backend.failures import WireBroken
from holdfast.backend.subscriber_topics import Ear, Topics
from support.listening import Notes

NOPERM = hiredis.ReplyError("NOPERM this user has no permissions to access one of the channels used as arguments")


class Server:
    """Confirms what it is asked, in order, when it is told to."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.subscribed: set[tuple[str, bytes]] = set()
        self.refuses: set[bytes] = set()
        self.requests: list[tuple[Any, ...]] = []
        self._replies: deque[Any] = deque()

    def receive(self) -> None:
        """Execute what was sent."""
        for words in self.topics.outgoing:
            self.requests.append(words)
            self._execute(words)
        self.topics.outgoing.clear()

    def _execute(self, words: tuple[Any, ...]) -> None:
        verb, *names = words
        if "UN" not in verb and self.refuses & set(names):
            self._replies.append(NOPERM)
            return
        kind = "P" if verb.startswith("P") else ""
        for name in names:
            (self.subscribed.discard if "UN" in verb else self.subscribed.add)((kind, name))
            self._replies.append([verb.lower().encode(), name, len(self.subscribed)])

    def answer(self, count: int = 1_000_000) -> None:
        """Let some replies arrive."""
        while self._replies and count:
            count -= 1
            self.topics.take(self._replies.popleft())
            self.receive()

    @property
    def unanswered(self) -> list[Any]:
        """Return the replies that have not arrived."""
        return list(self._replies)


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def server(topics: Topics) -> Server:
    topics.connected()
    return Server(topics)


def listen(topics: Topics, name: bytes = b"t", *, pattern: bool = False) -> tuple[Notes, Callable[[], None]]:
    notes = Notes()
    ear = Ear(notes)
    topics.add(name, ear, pattern=pattern)
    return notes, lambda: topics.remove(name, ear, pattern=pattern)


def settle(server: Server) -> None:
    server.receive()
    server.answer()


def test_up_comes_with_the_confirmation(topics: Topics, server: Server) -> None:
    """The listener is up when the server says so and not before; messages follow."""
    notes, _ = listen(topics)
    server.receive()
    assert notes.all == []
    server.answer()
    topics.take([b"message", b"t", b"\xff"])
    assert notes.all == ["up", ("t", b"\xff")]
    assert not topics.is_waiting


def test_one_subscription_for_many_listeners(topics: Topics, server: Server) -> None:
    """The first listener subscribes, later ones are up at once, the last one unsubscribes."""
    first, leave_first = listen(topics)
    settle(server)
    second, leave_second = listen(topics)
    assert second.all == ["up"]
    leave_first()
    leave_first()
    topics.take([b"message", b"t", b"m"])
    assert (first.all, second.all) == (["up"], ["up", ("t", b"m")])
    assert server.requests == [("SUBSCRIBE", b"t")]
    leave_second()
    settle(server)
    assert server.requests == [("SUBSCRIBE", b"t"), ("UNSUBSCRIBE", b"t")]
    assert not topics


def test_a_pattern_tells_the_real_channel(topics: Topics, server: Server) -> None:
    """A pattern and a channel of the same name are two things; a pattern's messages name their channels."""
    pattern, _ = listen(topics, b"t*", pattern=True)
    channel, _ = listen(topics, b"t*")
    settle(server)
    topics.take([b"pmessage", b"t*", b"t1", b"m"])
    topics.take([b"pmessage", b"t*", b"t\xff", b"m"])
    topics.take([b"message", b"t*", b"c"])
    assert pattern.all == ["up", ("t1", b"m"), ("t\ufffd", b"m")]
    assert channel.all == ["up", ("t*", b"c")]


def test_an_older_confirmation_does_not_count(topics: Topics, server: Server) -> None:
    """Who subscribes again right after the last listener left is up with the last confirmation, not with the first."""
    old, leave = listen(topics)
    leave()
    new, _ = listen(topics)
    server.receive()
    server.answer(1)
    server.answer(1)
    topics.take([b"message", b"t", b"between"])
    assert new.all == []
    server.answer()
    assert (old.all, new.all) == ([], ["up"])


def test_a_lost_connection(topics: Topics, server: Server) -> None:
    """Those that were up are told once; all are subscribed anew together, but those that left are not."""
    notes, _ = listen(topics, b"a")
    settle(server)
    waiting, _ = listen(topics, b"b")
    pattern, _ = listen(topics, b"p*", pattern=True)
    _, leave = listen(topics, b"gone")
    topics.lost()
    leave()
    assert (notes.all, waiting.all, topics.is_waiting, topics.outgoing) == (["up", "down"], [], False, [])
    later, _ = listen(topics, b"c")
    assert topics.outgoing == []
    topics.lost()
    topics.connected()
    settle(server)
    assert server.requests[-2:] == [("SUBSCRIBE", b"a", b"b", b"c"), ("PSUBSCRIBE", b"p*")]
    assert [each.all for each in (notes, waiting, later, pattern)] == [["up", "down", "up"], ["up"], ["up"], ["up"]]


def test_a_refused_topic_does_not_take_others_with_it(
    topics: Topics, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """What is refused together is asked for one by one; what is refused alone is never up, and is told once."""
    everybody = {name: listen(topics, name)[0] for name in (b"a", b"secret", b"b", b"secret too")}
    topics.lost()
    topics.connected()
    server.refuses = {b"secret", b"secret too"}
    with caplog.at_level(logging.WARNING, "holdfast"):
        settle(server)
    assert {name for name, notes in everybody.items() if notes.all == ["up"]} == {b"a", b"b"}
    assert [record.getMessage() for record in caplog.records] == [
        "Redis refused to subscribe to 'secret' (NOPERM): nothing will be heard there"
    ]
    server.refuses.clear()
    again, _ = listen(topics, b"secret")
    settle(server)
    assert (again.all, everybody[b"secret"].all) == (["up"], ["up"])


def test_a_refused_topic_can_be_left(topics: Topics, server: Server) -> None:
    """Leaving before or after the refusal leaves nothing behind."""
    server.refuses = {b"t"}
    _, leave_before = listen(topics)
    leave_before()
    settle(server)
    _, leave_after = listen(topics)
    settle(server)
    leave_after()
    settle(server)
    assert not topics
    assert topics._topics == {}


def test_a_listener_that_raises_harms_nobody(topics: Topics, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """What a listener raises is logged; the others are told, and so is it the next time."""

    class Broken(Notes):
        def heard(self, topic: str, message: bytes) -> None:
            super().heard(topic, message)
            raise RuntimeError("broken")

    broken = Broken()
    topics.add(b"t", Ear(broken), pattern=False)
    notes, _ = listen(topics)
    settle(server)
    for _ in range(2):
        topics.take([b"message", b"t", b"m"])
    assert broken.all == notes.all == ["up", ("t", b"m"), ("t", b"m")]
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    "reply",
    [b"PONG", [b"subscribe", b"other", 1], [b"pong", b""], NOPERM, None],
    ids=lambda reply: type(reply).__name__,
)
def test_an_answer_that_was_not_asked_for(topics: Topics, reply: object) -> None:
    """A connection that is out of step is given up."""
    with pytest.raises(WireBroken):
        topics.take(reply)


def test_an_answer_of_the_wrong_kind(topics: Topics, server: Server) -> None:
    """Neither may a plain answer stand for a confirmation, nor the confirmation of another topic."""
    listen(topics, b"other")
    settle(server)
    listen(topics)
    with pytest.raises(WireBroken):
        topics.take(b"OK")
    with pytest.raises(WireBroken):
        topics.take([b"subscribe", b"other", 1])


def test_other_commands_and_unknown_pushes(topics: Topics, server: Server) -> None:
    """Answers to other commands reach who asked, in order; pushes of kinds that are not known are passed over."""
    answers: list[object] = []
    topics.ask(("PING",), answers.append)
    notes, _ = listen(topics)
    topics.ask(("PING",), answers.append)
    topics.take(hiredis.PushNotification([b"something new", b"x"]))
    for reply in (b"PONG", hiredis.PushNotification([b"subscribe", b"t", 1]), [b"pong", b""]):
        assert topics.is_waiting
        topics.take(reply)
    assert (answers, notes.all, topics.is_waiting) == ([b"PONG", [b"pong", b""]], ["up"], False)


def test_many_topics_are_subscribed_in_batches(topics: Topics) -> None:
    """A reconnect sends a few long commands, none of them endless."""
    everybody = [listen(topics, b"%d" % number)[0] for number in range(1200)]
    topics.connected()
    assert [len(words) - 1 for words in topics.outgoing] == [500, 500, 200]
    settle(Server(topics))
    assert all(notes.all == ["up"] for notes in everybody)


@given(st.lists(st.tuples(st.sampled_from(["add", "leave", "receive", "answer", "cut"]), st.integers(0, 2))))
def test_whoever_is_up_misses_nothing(steps: list[tuple[str, int]]) -> None:
    """In every order of events: while a listener is up, its topic is subscribed and no UNSUBSCRIBE is under way."""
    topics = Topics()
    topics.connected()
    server = Server(topics)
    present: list[tuple[bytes, Notes, Callable[[], None]]] = []

    def check() -> None:
        ending = {reply[1] for reply in server.unanswered if reply[0] == b"unsubscribe"}
        ending |= {words[1] for words in topics.outgoing if words[0] == "UNSUBSCRIBE"}
        for name, notes, _ in present:
            if notes.is_up:
                assert name not in ending
                assert ("", name) in server.subscribed

    for step, number in steps:
        if step == "add":
            present.append((b"%d" % number, *listen(topics, b"%d" % number)))
        elif step == "leave" and number < len(present):
            present.pop(number)[2]()
        elif step == "receive":
            server.receive()
        elif step == "answer":
            server.receive()
            server.answer(number)
        elif step == "cut":
            topics.lost()
            server = Server(topics)
            topics.connected()
        check()
    settle(server)
    assert all(notes.is_up for _, notes, _ in present)
    assert server.subscribed == {("", name) for name, _, _ in present}
    assert set(topics._topics) == {(False, name) for name, _, _ in present}
