"""What happens at the edge in a row, and how a contender is watched: who does nothing is the fastest.

A limit must refuse who has used it up, a session must be there and must change, and Redis must have been asked for each
request. The app numbers its runs, so it is seen whether it ran, as often as it should.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import count, cycle
from typing import Any, Final

from bench_edge_bare import BEGIN, HELLO, NAME, STRANGER, VISIT
from bench_frame import Slice
from bench_http_load import Answer, Asking, Turn, ask, take_turn
from bench_http_trial import Server, judge, run_of

SMALL: Final = 7
"""A quota that is soon used up."""
PLENTY: Final = 1_000_000
"""One that no run uses up."""
ROUNDS_OF_SESSIONS: Final = 8
"""Sessions for each connection: so many that no two requests meet in one."""
_QUIET: Final = frozenset({"info", "ping", "hello", "client", "select", "command", "config"})
"""Commands that settle nothing about a request."""
_strangers = count(1)
_numbers = count(1)


class Kind(Enum):
    """What happens to each request."""

    ADMITTED = "it takes one of its client's quota, of which there is plenty"
    REFUSED = "its client has used up the quota, and the app does not run"
    READ = "the app reads the session"
    CHANGED = "the app reads the session and changes one field"
    FIRST = "it has an idempotency key of its own"


Commands = Callable[[], int]
"""Returns how many commands Redis has run so far."""
Measuring = Callable[[float], Slice]


def commands_of(client: Any) -> int:
    """Return how many commands a Redis server has run that may be about a request."""
    calls: dict[str, dict[str, int]] = client.info("commandstats")
    names = ((name.removeprefix("cmdstat_").partition("|")[0], each["calls"]) for name, each in calls.items())
    return sum(number for name, number in names if name not in _QUIET)


def client_address(number: int) -> str:
    """Return an address on loopback for one client of the load: limits are to tell them apart."""
    return f"127.0.1.{number + 1}"


def stranger() -> str:
    """Return an address that nobody had before."""
    high, low = divmod(next(_strangers), 250)
    return f"127.1.{high}.{low + 1}"


def measure_bare(server: Server, kind: Kind, connections: int) -> Measuring:
    """Return the measuring of an app with nothing in front: it gets the same requests, and runs for each."""
    asking = Asking(VISIT if kind is Kind.CHANGED else HELLO, "POST" if kind is Kind.FIRST else "GET")
    if kind in (Kind.READ, Kind.CHANGED):
        asking = _with_cookie(asking, f"session={'x' * 66}")
    requests = _keyed(server) if kind is Kind.FIRST else cycle([asking.request(server.port, 0)])
    return lambda seconds: _watch_runs(server, asking, requests, connections, seconds).slice


def measure(server: Server, kind: Kind, connections: int, commands: Commands) -> Measuring:
    """Try a contender out, and return its measuring, which goes on watching.

    Args:
        server: serves the contender.
        kind: what happens to each request.
        connections: how many ask at once.
        commands: tells how many commands Redis has run.

    Raises:
        ValueError: it does not do what the row is about.
    """
    make = {
        Kind.ADMITTED: _measure_admitted,
        Kind.REFUSED: _measure_refused,
        Kind.READ: _measure_read,
        Kind.CHANGED: _measure_changed,
        Kind.FIRST: _measure_first,
    }
    return make[kind](server, connections, commands)


def try_limit(server: Server) -> None:
    """See that a server with the small quota admits so many requests, refuses more, and admits another client.

    Raises:
        ValueError: it does not.
    """
    client, asking = stranger(), Asking(HELLO)
    statuses = [ask(server.port, asking, client=client).status for _ in range(SMALL + 5)]
    judge(statuses == [200] * SMALL + [429] * 5, f"of a quota of {SMALL} it made {statuses}")
    judge(ask(server.port, asking, client=stranger()).status == 200, "another client was refused")


def _measure_admitted(server: Server, connections: int, commands: Commands) -> Measuring:
    asking = Asking(HELLO)
    requests = cycle([asking.request(server.port, 0)])
    return lambda seconds: _watch_asked(server, asking, requests, connections, seconds, commands).slice


def _measure_refused(server: Server, connections: int, _commands: Commands) -> Measuring:
    try_limit(server)
    asking = Asking(HELLO)
    requests = cycle([asking.request(server.port, 0)])
    for number in range(connections):
        answers = [ask(server.port, asking, client=client_address(number)) for _ in range(SMALL + 1)]
        judge(answers[-1].status == 429, "who has used up the quota was admitted")

    def turn(seconds: float) -> Slice:
        first = run_of(ask(server.port, asking, client=stranger()))
        refused = ask(server.port, asking, client=client_address(0))
        judge(refused.status == 429, "who has used up the quota was admitted")
        done = _take(server, requests, refused, connections, seconds)
        last = run_of(ask(server.port, asking, client=stranger()))
        judge(last == first + 1, "the app ran for a refused client")
        return done.slice

    return turn


def _measure_read(server: Server, connections: int, commands: Commands) -> Measuring:
    askings = _begin(server, HELLO, connections)
    judge(_message(ask(server.port, Asking(HELLO))) == f"Hello, {STRANGER}!", "somebody without a session was known")
    judge(_message(ask(server.port, askings[0])) == f"Hello, {NAME}!", "the session was not there")
    requests = cycle([asking.request(server.port, 0) for asking in askings])
    return lambda seconds: _watch_asked(server, askings[0], requests, connections, seconds, commands).slice


def _measure_changed(server: Server, connections: int, commands: Commands) -> Measuring:
    askings = _begin(server, VISIT, connections)
    judge([_visits(server, askings[0]) for _ in range(2)] == [1, 2], "a visit was not counted in the session")
    judge(_visits(server, askings[1]) == 1, "two sessions are one")
    wires = [asking.request(server.port, 0) for asking in askings]

    def turn(seconds: float) -> Slice:
        before = _visits(server, askings[1])
        done = _watch_asked(server, askings[0], cycle(wires), connections, seconds, commands)
        asked = (done.answers + len(wires) - 2) // len(wires)
        visits = _visits(server, askings[1]) - before - 1
        judge(visits == asked, f"{visits} visits were counted of {asked}")
        return done.slice

    return turn


def _measure_first(server: Server, connections: int, commands: Commands) -> Measuring:
    asking = _with_key(next(_numbers))
    runs = [run_of(ask(server.port, asking)) for _ in range(2)]
    judge(runs[0] == runs[1], "the app ran again for the same key")
    requests = _keyed(server)

    def turn(seconds: float) -> Slice:
        new = _with_key(next(_numbers))
        first = run_of(ask(server.port, new))
        before = commands()
        done = _take(server, requests, ask(server.port, new), connections, seconds)
        judge(commands() - before >= done.answers, "Redis was not asked for each request")
        runs = run_of(ask(server.port, _with_key(next(_numbers)))) - first - 1
        judge(runs == done.answers, f"the app ran {runs} times for {done.answers} requests")
        return done.slice

    return turn


def _begin(server: Server, path: str, connections: int) -> list[Asking]:
    """Begin sessions, and return what asks with each."""
    answers = [ask(server.port, Asking(BEGIN, "POST")) for _ in range(connections * ROUNDS_OF_SESSIONS)]
    judge(all("set-cookie" in answer.fields for answer in answers), "no session was begun")
    cookies = {answer.fields["set-cookie"].partition(";")[0] for answer in answers}
    judge(len(cookies) == len(answers), "two sessions are one")
    return [_with_cookie(Asking(path), cookie) for cookie in cookies]


def _with_cookie(asking: Asking, cookie: str) -> Asking:
    return Asking(asking.path, asking.method, (("Cookie", cookie),))


def _with_key(number: int) -> Asking:
    return Asking(HELLO, "POST", (("Idempotency-Key", f'"{number:032}"'),))


def _keyed(server: Server) -> Iterable[bytes]:
    return (_with_key(number).request(server.port, 0) for number in _numbers)


def _message(answer: Answer) -> str:
    judge(answer.status == 200, f"status {answer.status}")
    return str(json.loads(answer.body)["message"])


def _visits(server: Server, asking: Asking) -> int:
    answer = ask(server.port, asking)
    judge(answer.status == 200, f"status {answer.status}")
    return int(json.loads(answer.body)["visits"])


def _watch_asked(
    server: Server,
    asking: Asking,
    requests: Iterable[bytes],
    connections: int,
    seconds: float,
    commands: Commands,
) -> Turn:
    """Load a server that must ask Redis for each request."""
    before = commands()
    done = _watch_runs(server, asking, requests, connections, seconds)
    judge(commands() - before >= done.answers, "Redis was not asked for each request")
    return done


def _watch_runs(server: Server, asking: Asking, requests: Iterable[bytes], connections: int, seconds: float) -> Turn:
    """Load a server whose app must run once for each request."""
    first = ask(server.port, asking)
    judge(first.status == 200, f"status {first.status}")
    done = _take(server, requests, first, connections, seconds)
    runs = run_of(ask(server.port, asking)) - run_of(first) - 1
    judge(runs == done.answers, f"the app ran {runs} times for {done.answers} requests")
    return done


def _take(server: Server, requests: Iterable[bytes], first: Answer, connections: int, seconds: float) -> Turn:
    clients: Sequence[str] = [client_address(number) for number in range(connections)]
    following = iter(requests).__next__
    return asyncio.run(take_turn(server.port, first, following, connections, seconds, server.cpu_seconds, clients))
