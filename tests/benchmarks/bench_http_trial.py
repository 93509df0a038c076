"""What a row about HTTP asks for, and how a contender is watched: who answers must be who the row is about.

The app numbers its runs, so an answer tells whether the app made it. A hit that the app answered, a pass-through that
a cache answered, a miss that was not stored: each would be another contest, and the contender has failed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from itertools import count
from typing import Final, Protocol

from bench_frame import Slice
from bench_http_load import Answer, Asking, Turn, ask, take_turn

PATIENCE: Final = 2.0
"""Seconds in which a response must be in the store: some put it there after the answer has left."""
_LATE: Final = 0.05
"""Seconds after a slice in which its last response must be there."""
_numbers = count(1)
"""Queries that were not asked before, for all contenders of a run."""


class Kind(Enum):
    """Who answers."""

    HIT = "the cache answers, the app does not run"
    MATCH = "the cache answers 304, the app does not run"
    PASS = "the app answers, and nothing is stored"
    MISS = "the app answers, and the answer is stored"


class Server(Protocol):
    """What is loaded."""

    @property
    def port(self) -> int:
        """Where it listens."""
        ...

    def cpu_seconds(self) -> float:
        """Return the processor time used so far."""
        ...


def measure_bare(server: Server, asking: Asking, connections: int) -> Callable[[float], Slice]:
    """Return the measuring of an app without a cache: it must run for each request, whatever is asked."""
    return lambda seconds: _watch_runs(server, asking, connections, seconds).slice


def measure(server: Server, asking: Asking, kind: Kind, connections: int) -> Callable[[float], Slice]:
    """Try a contender out, and return its measuring, which goes on watching.

    Raises:
        ValueError: not the one answers that this kind of row is about.
    """
    if kind is Kind.HIT:
        return _measure_hits(server, asking, connections)
    if kind is Kind.MATCH:
        return _measure_matches(server, asking, connections)
    if kind is Kind.MISS:
        _warm(server, asking)
        return lambda seconds: _watch_misses(server, asking, connections, seconds)
    _see_run_again(server, asking)
    return lambda seconds: _watch_runs(server, asking, connections, seconds).slice


def run_of(answer: Answer) -> int:
    """Return the number of the run that made an answer."""
    return int(json.loads(answer.body)["run"])


def judge(held: bool, otherwise: str) -> None:
    """Raise where something does not hold.

    Raises:
        ValueError: it does not.
    """
    if not held:
        raise ValueError(otherwise)


def _measure_hits(server: Server, asking: Asking, connections: int) -> Callable[[float], Slice]:
    first = _warm(server, asking)

    def turn(seconds: float) -> Slice:
        done = _take(server, asking, ask(server.port, asking), connections, seconds)
        judge(done.bodies == {first.body}, "the app ran for what was stored")
        return done.slice

    return turn


def _measure_matches(server: Server, asking: Asking, connections: int) -> Callable[[float], Slice]:
    first = _warm(server, asking)
    judge("etag" in first.fields, "no ETag")
    conditional = replace(asking, fields=(*asking.fields, ("If-None-Match", first.fields["etag"])))
    judge(ask(server.port, conditional).status == 304, "not 304 for the ETag that it gave")

    def turn(seconds: float) -> Slice:
        done = _take(server, conditional, ask(server.port, conditional), connections, seconds)
        judge(ask(server.port, asking).body == first.body, "the app ran for what was stored")
        return done.slice

    return turn


def _watch_runs(server: Server, asking: Asking, connections: int, seconds: float) -> Turn:
    """Load a server whose app must run once for each request."""
    first = ask(server.port, asking, next(_numbers))
    done = _take(server, asking, first, connections, seconds)
    runs = run_of(ask(server.port, asking, next(_numbers))) - run_of(first) - 1
    judge(runs == done.answers, f"the app ran {runs} times for {done.answers} requests")
    return done


def _watch_misses(server: Server, asking: Asking, connections: int, seconds: float) -> Slice:
    done = _watch_runs(server, asking, connections, seconds)
    time.sleep(_LATE)
    number = next(_numbers) - 2  # the last of the slice: one more was asked after it
    judge(ask(server.port, asking, number).body in done.bodies, "the last answer was not stored")
    return done.slice


def _see_run_again(server: Server, asking: Asking) -> None:
    runs = [run_of(ask(server.port, asking)) for _ in range(3)]
    judge(runs == list(range(runs[0], runs[0] + 3)), "what must not be stored was")


def _warm(server: Server, asking: Asking) -> Answer:
    """Ask until an answer comes back, which it must at once or soon, and return it."""
    deadline = time.monotonic() + PATIENCE
    first = ask(server.port, asking)
    judge(first.status == 200, f"status {first.status}")
    while (again := ask(server.port, asking)).body != first.body:
        judge(time.monotonic() < deadline, "the app ran again: nothing was stored")
        time.sleep(0.01)
        first = again
    return first


def _take(server: Server, asking: Asking, first: Answer, connections: int, seconds: float) -> Turn:
    if asking.anew:

        def next_request() -> bytes:
            return asking.request(server.port, next(_numbers))

    else:
        same = asking.request(server.port, 0)

        def next_request() -> bytes:
            return same

    return asyncio.run(take_turn(server.port, first, next_request, connections, seconds, server.cpu_seconds))
