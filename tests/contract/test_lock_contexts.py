"""Whose a lock is where one thread serves many contexts, and what handles refuse that are not held any more."""

from __future__ import annotations

import contextvars
import copy
import pickle
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, LockLost, LockNotAcquired, LockNotReplicated, Redlock, current_lock
from holdfast.events import LockBusy
from support.lock_kinds import take_away
from support.topologies import Topology


@pytest.mark.parametrize("reentrant", [False, True])
def test_two_contexts_of_one_thread_are_two_owners(layer: Layer, *, reentrant: bool) -> None:
    """A web server runs many requests in one thread of a pool, in turns: none enters the lock of another."""

    @contextmanager
    def request() -> Generator[None]:
        with layer.lock("k", reentrant=reentrant, wait=0):
            yield

    first, second = request(), request()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(contextvars.copy_context().run, first.__enter__).result()
        with pytest.raises(LockNotAcquired, match="is held by others"):
            thread.submit(contextvars.copy_context().run, second.__enter__).result()
        thread.submit(contextvars.copy_context().run, first.__exit__, None, None, None).result()
    assert not layer.lock("k").locked()


def test_what_is_acquired_by_hand_is_entered_again_in_its_context_only(layer: Layer) -> None:
    """A handle that is reentrant may be acquired again by the same task or thread, in the same context."""
    lock = layer.lock("k", reentrant=True, wait=0)
    outer = lock.acquire()
    with lock as inner:
        assert inner.token == outer.token
        assert current_lock() is inner
    with pytest.raises(LockNotAcquired):
        contextvars.Context().run(lock.acquire)
    outer.release()
    assert not lock.locked()
    lock.acquire().release()


def test_the_inner_block_of_a_lost_lock_raises(layer: Layer) -> None:
    """A function that enters the lock again must not seem to have done its work alone."""
    lock = layer.lock("k", reentrant=True)
    outer = lock.acquire()
    inner = lock.acquire()
    take_away(layer, outer)
    with pytest.raises(LockLost):
        inner.extend()
    with pytest.raises(LockLost):
        inner.release()
    with pytest.raises(LockLost):
        outer.release()


def test_a_block_does_not_begin_on_what_is_not_held(layer: Layer) -> None:
    """A handle that was given back or lost is no reason to run the block."""
    given_back = layer.lock("k").acquire()
    given_back.release()
    lost = layer.multi_lock(["a", "b"]).acquire()
    take_away(layer, lost)
    with pytest.raises(LockLost):
        lost.extend()
    for handle in (given_back, lost):
        with pytest.raises(LockLost), handle:
            raise AssertionError
    with pytest.raises(LockLost):
        lost.release()


def test_names_stay_as_they_were_given(layer: Layer) -> None:
    """What is escaped or shortened in keys is not in handles and messages; these are cut if they are very long."""
    with layer.multi_lock(["a b", "{c}"]) as held:
        assert set(held.fencing_tokens) == {"a b", "{c}"}
        assert "'a b'" in repr(held)
    with layer.lock("n" * 5000) as one:
        assert one.name == "n" * 5000
        assert len(repr(one)) < 300


@pytest.mark.parametrize("topology", ["redis62"], indirect=True)
def test_too_few_replicas_are_not_somebody_else(topology: Topology, namespace: str) -> None:
    """A job must not be skipped for ever since a replica is down: it is an error of its own, and counted."""
    with Layer(topology.url, namespace=namespace) as layer:
        told: list[LockBusy] = []
        layer.add_hook(lambda event: told.append(event) if isinstance(event, LockBusy) else None)

        @layer.locked("job", wait=0, lease=0.3, min_replicas=1, on_busy="skip")
        def work() -> None:
            raise AssertionError

        with pytest.raises(LockNotReplicated, match="0 of 1 replicas"):
            work()
        assert len(told) == layer.stats().busy == 1
        assert not layer.lock("job").locked()


def test_handles_and_locks_are_not_copied(layer: Layer) -> None:
    """A second handle would give back what the first one holds; the error says what to pass on instead."""
    held = layer.lock("k").acquire()
    for thing in (held, layer.lock("k"), layer.read_write_lock("k").read()):
        for make in (pickle.dumps, copy.copy, copy.deepcopy):
            copying: Any = make
            with pytest.raises(TypeError, match="pass on"):
                copying(thing)
    held.release()


def test_wrong_calls_say_what_to_do(layer: Layer) -> None:
    """What other libraries take, and what cannot work, is refused before anything is locked."""
    lock: Any = layer.lock("k")
    with pytest.raises(ConfigurationError, match="wait=0"):
        lock.acquire(blocking=False)
    for wait in (True, False, float("inf")):
        with pytest.raises(ConfigurationError, match="None is for ever"):
            layer.lock("k", wait=wait)
    with pytest.raises(ConfigurationError, match="hundredth of a second"):
        layer.lock("k", lease=0.005)
    for key in (None, ""):
        with pytest.raises(ConfigurationError, match="needs the name of its lock"):
            layer.locked(key)(lambda: None)
    with pytest.raises(ConfigurationError, match="is called with its arguments"):
        layer.locked("k", on_busy=lambda: 1)(lambda a, b: (a, b))
    layer.locked("k", on_busy=lambda *args, **named: 1)(lambda a, *, b: (a, b))


def test_servers_that_cannot_vote(namespace: str) -> None:
    """Fewer than three servers, or an even number, survive no more than one less would."""
    for count in (0, 1, 2, 4):
        with pytest.raises(ConfigurationError, match="three, five or seven"):
            Redlock([f"memory://{namespace}-{each}" for each in range(count)])
    redlock = Redlock([f"memory://{namespace}-{each}" for each in range(3)])
    with pytest.raises(ConfigurationError, match=r"0\.05"):
        redlock.lock("k", lease=0.01)
    redlock.close()
