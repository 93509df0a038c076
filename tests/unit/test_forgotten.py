"""What forgotten objects leave to do: another thread does it, whatever lock the thread that forgot them is in."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import Layer, _forgotten
from holdfast.web import LimitRule
from holdfast.wsgi import RateLimitMiddleware
from support.edge_limits import PEER, environ_of, taken
from support.waiting import until


@pytest.fixture
def layer(namespace: str) -> Iterator[Layer]:
    """Give an embedded layer of the test's own."""
    with Layer(namespace=namespace) as layer:
        yield layer


def test_work_that_is_left_is_done_by_another_thread() -> None:
    """In the order in which it was left; what it raises is logged and stops nothing."""
    _forgotten.expect()
    done: list[Any] = []

    def fail() -> None:
        raise LookupError

    for work in (fail, lambda: done.append(threading.get_ident())):
        _forgotten.leave(work)
    until(lambda: done, "it is done")
    assert done != [threading.get_ident()]


def test_there_is_one_thread() -> None:
    """However often it is expected."""
    for _ in range(3):
        _forgotten.expect()
    assert [thread.name for thread in threading.enumerate()].count("holdfast-forgotten") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_has_a_thread_of_its_own() -> None:
    """Without one, what is left there is dropped: nothing gathers."""
    _forgotten.expect()
    child = os.fork()
    if child == 0:
        dropped, done = threading.Event(), threading.Event()
        _forgotten.leave(dropped.set)
        _forgotten.expect()
        _forgotten.leave(done.set)
        os._exit(0 if done.wait(30) and not dropped.is_set() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("begun", [True, False])
def test_a_body_that_is_collected_inside_of_a_lock_waits_for_nobody(
    layer: Layer, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Its slot is given back by another thread, also when giving it back needs that very lock; once."""
    lock, threads = threading.Lock(), []
    slots = layer.engine.slots
    give_back = slots.give_back

    async def give_back_inside(*given: Any) -> None:
        threads.append(threading.get_ident())
        if not lock.acquire(timeout=10):
            raise TimeoutError
        lock.release()
        await give_back(*given)

    monkeypatch.setattr(slots, "give_back", give_back_inside)

    def app(_: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"a"
        yield b"b"

    limited = RateLimitMiddleware(app, layer=layer, rules=[LimitRule(concurrency=1, name="work", budget="30s")])
    knot: list[Any] = [limited(environ_of("GET", "/", (), PEER), lambda *_: None)]
    knot.append(knot)
    if begun:
        next(knot[0])
    assert taken(layer, "work") == 1
    with lock:
        del knot
        gc.collect()
    until(lambda: taken(layer, "work") == 0, "the slot is free")
    assert len(threads) == 1
    assert threads != [threading.get_ident()]


def test_what_is_over_leaves_nothing(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that was read to its end, or closed, costs no other thread anything."""
    left: list[Any] = []
    monkeypatch.setattr(_forgotten, "leave", left.append)
    limited = RateLimitMiddleware(_stream, layer=layer, rules=[LimitRule(concurrency=2, name="work", budget="30s")])
    for ends in ("read", "closed", "both"):
        body: Any = limited(environ_of("GET", "/", (), PEER), lambda *_: None)
        if ends != "closed":
            assert list(body) == [b"a"]
        if ends != "read":
            body.close()
        del body
        gc.collect()
    assert left == []
    assert taken(layer, "work") == 0


def _stream(_: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    yield b"a"
