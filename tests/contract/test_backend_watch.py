"""Promises of watching keys: every change by whoever and why, where the server can tell; else what is published."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from holdfast.backend.backend import Backend
from holdfast.commands import Command
from support.listening import Notes
from support.programs import Program
from support.standalone import Standalone
from support.topologies import Topology
from support.waiting import until


@pytest.fixture
def server(program: Program) -> Iterator[Standalone]:
    with Standalone(program, options={"maxmemory": "5mb", "maxmemory-policy": "allkeys-lru"}) as server:
        yield server


@pytest.fixture
def backend(server: Standalone) -> Iterator[Backend]:
    backend = Backend(server.url, print)
    yield backend
    backend.close()


def watch(backend: Backend, *prefixes: str) -> Notes:
    notes = Notes()
    backend.watch(["news:*", "more:*"], prefixes, notes)
    notes.wait_for("up")
    return notes


def test_up_and_what_is_published(topology: Topology, namespace: str) -> None:
    """On every topology a watcher is up once, hears all its patterns, and nothing after the end."""
    backend, notes, witness = Backend(topology.url, print), Notes(), Notes()
    end = backend.watch([f"{namespace}:a:*", f"{namespace}:b:*"], [f"{namespace}:"], notes)
    notes.wait_for("up")
    assert backend.is_tracking == (topology.name not in {"memory", "cluster"})
    backend.blocking.subscribe(f"{namespace}:*", witness, pattern=True)
    witness.wait_for("up")
    say = Backend(topology.url, print)
    for part in "ab":
        say.blocking.call_now(_publish(f"{namespace}:{part}:1"))
    notes.wait_for((f"{namespace}:a:1", b"m"), (f"{namespace}:b:1", b"m"))
    end()
    end()
    say.blocking.call_now(_publish(f"{namespace}:a:2"))
    witness.wait_for((f"{namespace}:a:2", b"m"))
    assert notes.all == ["up", (f"{namespace}:a:1", b"m"), (f"{namespace}:b:1", b"m")]
    until(lambda: not backend.is_tracking, "tracking is off")
    say.close()
    backend.close()


def _publish(topic: str) -> Command:
    return Command(("PUBLISH", topic, b"m"))


def test_foreign_changes(server: Standalone, backend: Backend) -> None:
    """Writes, deletions and expiry are told, whoever made them; keys with other prefixes are not."""
    notes = watch(backend, "mine:", "also:")
    client = server.client
    client.set("other:1", "x")
    client.set("mine:written", "x")
    client.set("mine:short", "x", px=20)
    client.delete("mine:written")
    until(lambda: notes.count("mine:written") == 2, "the deletion is told")
    until(lambda: notes.count("mine:short") == 2, "the expiry is told")
    client.set("also:1", "x")
    notes.wait_for("also:1")
    assert "other:1" not in notes.all
    assert notes.count("up") == 1


def test_a_key_that_is_no_text(server: Standalone, backend: Backend) -> None:
    """A key or channel that is not UTF-8 does no harm."""
    notes = watch(backend, "mine:")
    server.client.set(b"mine:\xff\xfe", "x")
    server.client.publish(b"news:\xff", b"m")
    server.client.set("mine:after", "x")
    notes.wait_for("mine:after", "mine:\ufffd\ufffd", ("news:\ufffd", b"m"))
    assert notes.count("up") == 1


@pytest.mark.parametrize("command", ["FLUSHDB", "FLUSHALL"])
def test_flushing(server: Standalone, backend: Backend, command: str) -> None:
    """Emptying the database is told as such."""
    notes = watch(backend, "mine:")
    server.client.set("mine:1", "x")
    server.ask(command)
    notes.wait_for("flushed")


def test_eviction(server: Standalone, backend: Backend) -> None:
    """Keys that the server evicts are told."""
    notes = watch(backend, "mine:")
    server.client.set("mine:1", "x" * 1000)
    notes.wait_for("mine:1")
    numbers = count()

    def is_told() -> bool:
        server.client.set(f"other:{next(numbers)}", "x" * 100_000)  # Redis draws whom it evicts, so it may take some
        return notes.count("mine:1") == 2

    until(is_told, "the eviction is told")


def test_several_watchers(server: Standalone, backend: Backend) -> None:
    """Each is told of its own prefixes; a wider one that comes later makes all go down and up once."""
    narrow = watch(backend, "a:b:")
    same = watch(backend, "a:b:")
    wide = watch(backend, "a:")
    everything = watch(backend, "")
    until(lambda: narrow.is_up and same.is_up and wide.is_up, "all are up again")
    server.client.set("a:b:1", "x")
    server.client.set("a:2", "x")
    server.client.set("3", "x")
    everything.wait_for("a:b:1", "a:2", "3")
    assert [note for note in wide.all if note not in {"up", "down"}] == ["a:b:1", "a:2"]
    for notes in (narrow, same):
        assert [note for note in notes.all if note not in {"up", "down"}] == ["a:b:1"]
    assert everything.count("up") == 1
