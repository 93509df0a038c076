"""Promises of subscriptions under faults: what is lost is told, and they come back by themselves wherever Redis is."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from holdfast.backend.backend import Backend
from holdfast.backend.subscriber import HEALTH
from holdfast.commands import get
from support.cluster import Cluster
from support.listening import Notes
from support.programs import Program, newest
from support.proxy import Proxy
from support.sentinel import Sentinel
from support.standalone import Standalone
from support.topologies import Topology
from support.waiting import until


def listening(backend: Backend, topic: str = "t") -> tuple[Notes, Notes]:
    """Listen and watch; return both notes when they are up."""
    listener, watcher = Notes(), Notes()
    backend.blocking.subscribe(topic, listener)
    backend.watch([f"{topic}*"], [topic], watcher)
    both_are(up=True, notes=(listener, watcher))
    return listener, watcher


def both_are(*, up: bool, notes: tuple[Notes, Notes]) -> None:
    until(lambda: all(each.is_up == up for each in notes), f"both are {'up' if up else 'down'}")


def both_hear(publish: Callable[[], object], notes: tuple[Notes, Notes], topic: str = "t") -> None:
    publish()
    for each in notes:
        each.wait_for((topic, b"after"))


def test_a_server_that_restarts(program: Program) -> None:
    """Listeners go down with the server and come up with it, tracking included; commands and breaker are apart."""
    events: list[object] = []
    with Standalone(program) as server:
        backend = Backend(server.url, events.append)
        notes = listening(backend)
        server.kill()
        both_are(up=False, notes=notes)
        server.start()
        both_are(up=True, notes=notes)
        both_hear(lambda: server.client.publish("t", b"after"), notes)
        server.client.set("t:key", "x")
        notes[1].wait_for("t:key")
        assert [note for note in notes[0].all if note in {"up", "down"}] == ["up", "down", "up"]
        assert events == []
        backend.close()


@pytest.mark.parametrize("times", [1, 5])
def test_a_killed_connection(server_topology: Topology, namespace: str, times: int) -> None:
    """A server that disconnects its subscribers, slow ones for example, sees them again at once."""
    backend = Backend(server_topology.url, print)
    notes = listening(backend, namespace)
    for count in range(times):
        address = _connection(server_topology, namespace)
        for node in server_topology.nodes:
            node.client.client_kill_filter(addr=address)
        until(lambda: notes[0].count("up") == count + 2, "it is up again")  # noqa: B023
        both_are(up=True, notes=notes)
    node = server_topology.nodes[0]
    both_hear(lambda: node.client.publish(namespace, b"after"), notes, namespace)
    backend.close()


def _connection(topology: Topology, namespace: str) -> str:
    """Return the address of the one connection that listens to a pattern or channel; the servers are shared."""
    (node,) = (node for node in topology.nodes if node.client.pubsub_numsub(namespace)[0][1])
    clients = [client for client in node.client.client_list() if int(client["psub"]) and int(client["sub"])]
    (newest_one,) = sorted(clients, key=lambda client: int(client["id"]))[-1:]
    return str(newest_one["addr"])


def test_a_subscriber_that_is_too_slow(program: Program) -> None:
    """A server that cuts off who does not keep up is just a lost connection."""

    class Slow(Notes):
        def heard(self, topic: str, message: bytes) -> None:
            if not self.count("down") and len(self.all) == 1:
                server.client.publish("t", b"x" * 10_000_000)  # more than any buffer takes
            super().heard(topic, message[:10])

    with Standalone(program) as server:
        server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 100kb 100kb 0")
        backend, slow = Backend(server.url, print), Slow()
        backend.blocking.subscribe("t", slow)
        slow.wait_for("up")
        server.client.publish("t", b"first")
        until(lambda: slow.count("up") == 2, "it is up again")
        server.client.publish("t", b"after")
        slow.wait_for(("t", b"after"))
        backend.close()


def test_a_black_hole_is_noticed() -> None:
    """A connection whose bytes vanish is given up within twice the health interval, and made anew when it can be."""
    with Standalone(newest()) as server, Proxy(server.address) as proxy:
        backend = Backend(proxy.url, print)
        notes = listening(backend)
        proxy.black_hole()
        started = time.monotonic()
        both_are(up=False, notes=notes)
        assert time.monotonic() - started < 2 * HEALTH + 1
        proxy.restore()
        both_are(up=True, notes=notes)
        both_hear(lambda: server.client.publish("t", b"after"), notes)
        backend.close()


def test_a_cut_in_the_middle_of_a_message() -> None:
    """Half a message is none; the connection is made anew."""
    with Standalone(newest()) as server, Proxy(server.address) as proxy:
        backend = Backend(proxy.url, print)
        notes = listening(backend)
        proxy.cut_after(20)
        server.client.publish("t", b"x" * 1000)
        until(lambda: notes[0].count("up") == 2, "it is up again")
        both_are(up=True, notes=notes)
        both_hear(lambda: server.client.publish("t", b"after"), notes)
        assert not any(isinstance(note, tuple) and note[1] != b"after" for note in notes[0].all)
        backend.close()


def test_a_frozen_server_and_close(program: Program) -> None:
    """Closing is prompt while nothing answers, and while a connection is being made in vain."""
    with Standalone(program) as server:
        for wait_until_down in (False, True):
            backend = Backend(server.url, print)
            notes = listening(backend)
            with server.paused():
                if wait_until_down:
                    both_are(up=False, notes=notes)
                started = time.monotonic()
                backend.close()
                assert time.monotonic() - started < 0.5
                both_are(up=False, notes=notes)


def test_a_failover_is_followed(program: Program) -> None:
    """Behind sentinels the listeners come back at the new primary, and hear what is published there."""
    with Sentinel(program) as sentinel:
        backend = Backend(sentinel.url, print)
        notes = listening(backend)
        old = sentinel.primary
        sentinel.kill_primary()
        until(lambda: sentinel.primary is not old, "there is a new primary")
        until(lambda: notes[0].count("up") == 2, "it is up again")
        both_are(up=True, notes=notes)
        both_hear(lambda: sentinel.primary.client.publish("t", b"after"), notes)
        sentinel.primary.client.set("t:key", "x")
        notes[1].wait_for("t:key")
        backend.close()


def test_another_node_of_the_cluster_will_do(program: Program) -> None:
    """When its node dies the subscriber goes to another one, also to one that only the commands have met."""
    with Cluster(program, node_timeout=1000, full_coverage=False) as cluster:
        first = cluster.primaries[0]
        backend = Backend(f"redis+cluster://{first.host}:{first.port}", print)
        notes = listening(backend)
        for number in range(20):
            backend.blocking.call_now(get(f"k{number}"))
        cluster.kill(first)
        until(lambda: notes[0].count("up") == 2, "it is up again")
        both_are(up=True, notes=notes)
        other = cluster.primaries[1] if cluster.primaries[0] is first else cluster.primaries[0]
        both_hear(lambda: other.client.publish("t", b"after"), notes)
        backend.close()
