"""Promises of subscriptions: the same on every topology, in both colours, over one connection a process."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast.backend.backend import Backend
from holdfast.backend.subscriber import HEALTH
from holdfast.commands import Command
from support.backends import Opened, opened
from support.colours import Colour
from support.listening import Notes
from support.programs import Program, newest
from support.standalone import Standalone
from support.topologies import Topology
from support.waiting import until

SYNC, ASYNC = Colour("sync"), Colour("async")


async def publish(it: Opened, topic: str, message: bytes) -> None:
    await it.port.call(Command(("PUBLISH", topic, message)))


async def listen(colour: Colour, it: Opened, topic: str, *, pattern: bool = False) -> tuple[Notes, Callable[[], Any]]:
    """Subscribe, and wait until that is confirmed."""
    notes = Notes()
    cancel = it.port.subscribe(topic, notes, pattern=pattern)
    await colour.until(lambda: notes.is_up, "the subscription is confirmed")
    return notes, cancel


def subscribers(topology: Topology, topic: str) -> int:
    return sum(int(node.client.pubsub_numsub(topic)[0][1]) for node in topology.nodes)


def news_threads() -> int:
    return sum(thread.name == "holdfast-subscriber" for thread in threading.enumerate())


def test_what_is_published_is_heard(colour: Colour, topology: Topology, namespace: str) -> None:
    """Listeners of a channel and of a pattern hear each message once, in order, with its real channel, byte by byte."""

    async def scenario() -> None:
        async with opened(colour, topology.url) as it:
            channel, _ = await listen(colour, it, f"{namespace}:é")
            pattern, _ = await listen(colour, it, f"{namespace}:*", pattern=True)
            messages = [b"", b"\0\r\n\xff", *(b"%d" % number for number in range(50)), b"x" * 100_000, b"last"]
            for message in messages:
                await publish(it, f"{namespace}:é", message)
            await publish(it, f"{namespace}:other", b"for the pattern")
            await colour.until(lambda: pattern.have((f"{namespace}:other", b"for the pattern")), "it is heard")
            await colour.until(lambda: channel.have((f"{namespace}:é", b"last")), "it is heard")
            assert channel.all == ["up", *((f"{namespace}:é", message) for message in messages)]
            assert [note for note in pattern.all if note in channel.all] == channel.all
            assert it.events == []

    colour.run(scenario)


@pytest.mark.parametrize("protocol", [2, 3])
def test_listeners_come_and_go(colour: Colour, topology: Topology, namespace: str, protocol: int) -> None:
    """A second listener is up at once; each can leave by itself, twice; the last one takes the subscription along."""

    async def scenario() -> None:
        async with opened(colour, f"{topology.url}?protocol={protocol}") as it:
            first, leave_first = await listen(colour, it, namespace)
            second, leave_second = await listen(colour, it, namespace)
            witness, _ = await listen(colour, it, f"{namespace}*", pattern=True)
            leave_first()
            leave_first()
            await publish(it, namespace, b"one")
            await colour.until(lambda: second.have((namespace, b"one")), "it is heard")
            assert topology.is_memory or subscribers(topology, namespace) == 1
            leave_second()
            leave_second()
            await publish(it, namespace, b"two")
            await colour.until(lambda: witness.have((namespace, b"two")), "it is heard by others")
            await colour.until(lambda: topology.is_memory or not subscribers(topology, namespace), "nobody listens")
            assert (first.all, second.all) == (["up"], ["up", (namespace, b"one")])
            third, _ = await listen(colour, it, namespace)
            await publish(it, namespace, b"three")
            await colour.until(lambda: third.have((namespace, b"three")), "it is heard")
            assert third.all == ["up", (namespace, b"three")]

    colour.run(scenario)


def test_subscribing_from_within(topology: Topology, namespace: str) -> None:
    """A listener may subscribe and cancel while it is being told, itself too."""
    inner = Notes()

    class Curious(Notes):
        def heard(self, topic: str, message: bytes) -> None:
            super().heard(topic, message)
            leave[0]()
            leave.append(it.port.subscribe(f"{namespace}:2", inner))

    async def scenario() -> None:
        curious = Curious()
        leave.append(it.port.subscribe(namespace, curious))
        curious.wait_for("up")
        await publish(it, namespace, b"one")
        inner.wait_for("up")
        await publish(it, namespace, b"two")
        await publish(it, f"{namespace}:2", b"three")
        inner.wait_for((f"{namespace}:2", b"three"))
        assert curious.all == ["up", (namespace, b"one")]

    backend = Backend(topology.url, print)
    it, leave = Opened(backend, backend.blocking), list[Callable[[], Any]]()
    SYNC.run(scenario)
    backend.close()


def test_one_connection_for_threads_and_loops(server_topology: Topology, namespace: str) -> None:
    """Threads and loops share one connection and one thread, which is none of the pool."""
    backend = Backend(server_topology.url, print)
    topics = [f"{namespace}:{number}" for number in range(8)]
    everybody = {topic: [Notes() for _ in range(50)] for topic in topics}

    def subscribe(topic: str) -> list[Callable[[], Any]]:
        return [backend.blocking.subscribe(topic, notes) for notes in everybody[topic]]

    async def subscribe_in_loop(topic: str) -> list[Callable[[], Any]]:
        return [backend.asyncio.subscribe(topic, notes) for notes in everybody[topic]]

    with ThreadPoolExecutor(8) as threads:
        cancels = [threads.submit(subscribe, topic) for topic in topics[:4]]
        cancels += [threads.submit(asyncio.run, subscribe_in_loop(topic)) for topic in topics[4:]]
        until(lambda: all(notes.is_up for each in everybody.values() for notes in each), "all are up")
        assert [subscribers(server_topology, topic) for topic in topics] == [1] * 8
        until(lambda: news_threads() == 1, "one thread serves all, and those of other tests have ended")
        for topic in topics:
            backend.blocking.call_now(Command(("PUBLISH", topic, b"m")))
        listeners = [(topic, notes) for topic, each in everybody.items() for notes in each]
        until(lambda: all(notes.all == ["up", (topic, b"m")] for topic, notes in listeners), "each has heard once")
        for cancel in [cancel for future in cancels for cancel in future.result()]:
            threads.submit(cancel)
    until(lambda: not any(subscribers(server_topology, topic) for topic in topics), "nobody listens")
    assert all(notes.all == ["up", (topic, b"m")] for topic, notes in listeners)
    backend.close()


def test_closing_ends_it(colour: Colour, topology: Topology, namespace: str) -> None:
    """Closing tells the listeners, ends connection and thread; who subscribes later hears nothing and gets no error."""

    async def scenario() -> None:
        before = news_threads()
        async with opened(colour, topology.url) as it:
            notes, cancel = await listen(colour, it, namespace)
        assert notes.all == ["up", "down"]
        cancel()
        await colour.until(lambda: news_threads() <= before, "the thread ends", within=HEALTH - 0.5)
        await colour.until(lambda: topology.is_memory or not subscribers(topology, namespace), "the server knows")
        late = Notes()
        it.port.subscribe(namespace, late)()
        it.backend.close()
        assert (late.all, notes.all, news_threads() <= before) == ([], ["up", "down"], True)

    colour.run(scenario)


def test_closing_from_a_listener(topology: Topology, namespace: str) -> None:
    """Closing out of what is told to a listener does not hang."""

    class Last(Notes):
        def heard(self, topic: str, message: bytes) -> None:
            super().heard(topic, message)
            backend.close()

    backend, notes = Backend(topology.url, print), Last()
    backend.blocking.subscribe(namespace, notes)
    notes.wait_for("up")
    backend.blocking.call_now(Command(("PUBLISH", namespace, b"m")))
    until(lambda: notes.all == ["up", (namespace, b"m"), "down"], "it is closed")


def test_a_forgotten_backend_ends_it(topology: Topology, namespace: str) -> None:
    """The thread holds neither the backend nor its listeners, even if these hold the backend."""
    before = news_threads()
    backend = Backend(topology.url, print)
    notes = Notes()
    notes.holds = backend  # type: ignore[attr-defined]
    backend.blocking.subscribe(namespace, notes)
    notes.wait_for("up")
    del backend, notes
    gc.collect()
    until(lambda: news_threads() <= before, "the thread ends")
    until(lambda: topology.is_memory or not subscribers(topology, namespace), "the server knows")


def test_every_way_to_connect(namespace: str) -> None:
    """TLS, a Unix socket and a password work as for commands, with a load in both directions."""
    program = newest()
    with Standalone(program, password="geheim", tls=program.speaks_tls, socket=True) as server:
        for url in [server.url, server.unix_url, *([server.tls_url] if program.speaks_tls else [])]:
            backend, everybody = Backend(url, print), {f"{namespace}:{number}": Notes() for number in range(3000)}
            for topic, notes in everybody.items():
                backend.blocking.subscribe(topic, notes)
            until(lambda: all(notes.is_up for notes in everybody.values()), "all are up")  # noqa: B023
            for topic in everybody:
                backend.blocking.call_now(Command(("PUBLISH", topic, b"x" * 10_000)))
            until(lambda: all(len(notes.all) == 2 for notes in everybody.values()), "all have heard")  # noqa: B023
            backend.close()


def test_a_user_who_may_not(program: Program, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """Channels that the user's ACL forbids are told of in the log once; others are heard; so it is with tracking."""
    with Standalone(program) as server:
        rules = ["on", ">secret", "~*", "+@all", "-client", "resetchannels", "&open*"]
        server.ask("ACL", "SETUSER", "somebody", *rules)
        backend = Backend(f"redis://somebody:secret@127.0.0.1:{server.port}", print)
        forbidden, allowed, watching = Notes(), Notes(), Notes()
        backend.blocking.subscribe("forbidden", forbidden)
        backend.blocking.subscribe("open", allowed)
        backend.watch(["open*"], [namespace], watching)
        allowed.wait_for("up")
        watching.wait_for("up")
        assert not backend.is_tracking
        server.client.publish("open", b"m")
        watching.wait_for(("open", b"m"))
        assert forbidden.all == []
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
            "Redis refused to subscribe to 'forbidden' (NOPERM): nothing will be heard there"
        ]
        backend.close()
