"""What operations send is what the page of costs says."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from holdfast import Layer, entries
from holdfast.core import http_fetching, leasing, lock_waiting
from support.calls import Sent, named, teach
from support.colours import Colour
from support.flights import joined
from support.http_costs import HTTP
from support.lock_costs import LOCKS
from support.once_costs import ONCE
from support.programs import newest
from support.recording import Recording
from support.session_costs import SESSIONS
from support.topologies import Servers, Topology

PAGE: Final = (Path(__file__).parents[2] / "docs" / "reference" / "costs.md").read_text(encoding="utf-8")
_COMMANDS: Final = re.findall(r"^\| ([^|]+?) \| `([^`]+)` \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
OF_LISTENING: Final = {"SUBSCRIBE", "UNSUBSCRIBE"}


class Bench:
    """Two layers of one namespace, as two processes have them, and what they send while something is measured."""

    def __init__(self, colour: Colour, place: Topology, namespace: str, *layers: Layer) -> None:
        self.colour = colour
        self.layer, self.other = layers
        self.sent = [Sent(layer) for layer in layers]
        self.cache = colour.of(self.layer.cache)
        self.gate = colour.gate()
        self.seen = Recording()
        self._place = place
        self._namespace = namespace

    def cached(self, layer: Layer | None = None, *, ttl: Any = 60, **options: Any) -> Any:
        """Return a function that returns at once."""

        async def quick(number: int) -> int:
            return number

        return (layer or self.layer).stampede_protected(ttl, key="quick:{number}", beta=0, **options)(
            self.colour.function(quick)
        )

    def slow(self, layer: Layer | None = None, *, ttl: Any = 60, **options: Any) -> Any:
        """Return a function that waits at the gate."""

        async def slow(number: int) -> int:
            await self.gate.passed()
            return number

        return (layer or self.layer).stampede_protected(ttl, key="slow:{number}", beta=0, **options)(
            self.colour.function(slow)
        )

    async def call(self, function: Any) -> Any:
        """Call a function of this bench."""
        return await self.colour.call(function, 1)

    def caller(self, function: Any) -> Callable[[], Any]:
        """Return an actor that calls a function."""

        async def act() -> Any:
            return await self.call(function)

        return act

    async def measure(self, step: Awaitable[Any] | Callable[[], Awaitable[Any]]) -> None:
        """Note what is sent while something is done."""
        for sent in self.sent:
            sent.trips.clear()
        with self._place.monitor(self._namespace) as self.seen:
            await (step() if callable(step) else step)

    async def joined_by(self, function: Any, follower: Any, until: Callable[[], object]) -> None:
        """Let a load run, somebody else wait for it, and the load end once `until` is true."""

        async def follow() -> Any:
            await self.colour.until(lambda: self.gate.waiting, "the load runs")
            return await self.call(follower)

        async def let_go() -> None:
            await self.colour.until(until, "somebody waits")
            self.gate.open()

        assert await self.colour.together(self.caller(function), follow, let_go) == [1, 1, None]


Scenario = Callable[[Bench], Awaitable[Any]]


async def _hit(bench: Bench, **options: Any) -> None:
    function = bench.cached(**options)
    await bench.call(function)
    await bench.measure(bench.call(function))


async def _near_hit(bench: Bench) -> None:
    function = bench.cached(near=30)
    for _ in range(100):  # until it has begun to listen, and has heard what there is to hear
        await bench.measure(bench.call(function))
        if not bench.sent[0].trips:
            return
        await bench.colour.sleep(0.01)


async def _miss(bench: Bench, **options: Any) -> None:
    await bench.measure(bench.call(bench.cached(**options)))


async def _stale(bench: Bench) -> None:
    function = bench.cached(grace=60)
    await bench.call(function)
    await bench.cache.expire("quick:1", 60)

    async def serve() -> None:
        assert await bench.call(function) == 1
        await bench.colour.until(lambda: "fill" in bench.sent[0].names, "it is refreshed")
        await bench.colour.until(lambda: bench.layer.stats().fills == 2, "the refresh has ended")

    for port in (bench.layer.engine.blocking, bench.layer.engine.asyncio):
        now = port.now
        port.now = lambda now=now: now() + 90  # past its freshness, within its grace
    await bench.measure(serve)


async def _failing(bench: Bench) -> None:
    async def broken(number: int) -> int:
        raise LookupError(number)

    function = bench.layer.cached(60, key="broken:{number}")(bench.colour.function(broken))

    async def fail() -> None:
        with pytest.raises(LookupError):
            await bench.call(function)

    await bench.measure(fail)


async def _renewed(bench: Bench) -> None:
    function = bench.slow(lease=1.5)

    async def let_go() -> None:
        await bench.colour.until(lambda: "renew" in bench.sent[0].names, "the lease is renewed")
        bench.gate.open()

    await bench.measure(lambda: bench.colour.together(bench.caller(function), let_go))


async def _late_follower(bench: Bench) -> None:
    function = bench.slow(tags=["all"])
    await bench.measure(bench.joined_by(function, function, lambda: joined(bench.layer) == 2))


async def _follower(bench: Bench, ttl: Any = 60) -> None:
    """Measure what both send, and take off what the one that loads does."""
    function = bench.slow(ttl=ttl)
    await bench.measure(bench.joined_by(function, function, lambda: joined(bench.layer) == 2))
    loader = [("GET",), ("acquire",), ("fill",)] if ttl else [("acquire",), ("fill",)]
    for trip in loader:
        bench.sent[0].trips.remove(trip)
        bench.seen.seen.remove(next(one for one in bench.seen.sent if named(one) == trip[0]))


async def _waiting(bench: Bench, ttl: Any = 60) -> None:
    loader, waiter = bench.slow(bench.other, ttl=ttl), bench.slow(ttl=ttl)
    waits = lambda: bench.sent[0].names.count("acquire") == 2  # noqa: E731 - it listens, and has looked again
    await bench.measure(bench.joined_by(loader, waiter, waits))


async def _verb(bench: Bench, verb: str, *args: Any, **options: Any) -> None:
    await bench.measure(getattr(bench.cache, verb)(*args, **options))


async def _handle(bench: Bench, verb: str, *args: Any) -> None:
    function = bench.cached()
    await bench.call(function)
    await bench.measure(getattr(bench.colour.of(entries(function)), verb)(*args))


async def _get_many(bench: Bench, **options: Any) -> None:
    await bench.cache.set_many({"a": 1, "b": 2}, 60, **options)
    await bench.measure(bench.cache.get_many(["a", "b"]))


async def _expire(bench: Bench) -> None:
    await bench.cache.set("a", 1, 60)
    await bench.measure(bench.cache.expire("a", 30))


async def _many(bench: Bench, *known: int) -> None:
    async def load(ids: list[int]) -> dict[int, int]:
        return {number: number for number in ids}

    function = bench.layer.cached_many(60, key="many:{number}")(bench.colour.function(load))
    if known:
        await bench.colour.call(function, list(known))
    await bench.measure(bench.colour.call(function, [1, 2]))


async def _limit(bench: Bench, verb: str, *args: Any, before: int = 0, **options: Any) -> None:
    limiter = bench.colour.of(bench.layer.limiter)
    for _ in range(before):
        await limiter.hit("1/minute", "product:7")
    await bench.measure(getattr(limiter, verb)(*args, **options))


async def _settled(bench: Bench) -> None:
    limiter = bench.colour.of(bench.layer.limiter)

    async def hit_and_settle() -> None:
        await limiter.settle(await limiter.hit("9/minute", "product:7", cost=5), 3)

    await bench.measure(hit_and_settle)


async def _slot(bench: Bench) -> None:
    async def enter_and_leave() -> None:
        async with bench.colour.using(bench.layer.limiter.concurrency(1, "product:7")):
            pass

    await bench.measure(enter_and_leave)


def by_result(value: int) -> list[str]:
    """Return the tags of a result."""
    return [f"number:{value}"]


OPERATIONS: Final[dict[str, Scenario]] = {
    "hit": _hit,
    "hit, with tags": lambda bench: _hit(bench, tags=["all"]),
    "hit, with tags from the result": lambda bench: _hit(bench, tags=by_result),
    "hit in the near cache": _near_hit,
    "stale, and the refresh behind it": _stale,
    "miss": _miss,
    "miss, with tags": lambda bench: _miss(bench, tags=["all"]),
    "miss, with tags, and others join the load": _late_follower,
    "miss, with tags from the result": lambda bench: _miss(bench, tags=by_result),
    "miss, the function raises": _failing,
    "miss, the load outlasts a third of the lease": _renewed,
    "miss, the load runs in this process": _follower,
    "miss, the load runs in another process": _waiting,
    "nothing kept, the caller that loads": lambda bench: _miss(bench, ttl=None),
    "nothing kept, the load runs in this process": lambda bench: _follower(bench, None),
    "nothing kept, the load runs in another process": lambda bench: _waiting(bench, None),
    "`cached_many` of two, both hits": lambda bench: _many(bench, 1, 2),
    "`cached_many` of two, one missing": lambda bench: _many(bench, 1),
    "`cached_many` of two, both missing": _many,
    "`entries(f).refresh`": lambda bench: _handle(bench, "refresh", 1),
    "`entries(f).invalidate`, `cache.delete` of one": lambda bench: _handle(bench, "invalidate", 1),
    "`cache.delete` of two": lambda bench: _verb(bench, "delete", "a", "b"),
    "`cache.invalidate_tags` of one": lambda bench: _verb(bench, "invalidate_tags", "a"),
    "`cache.invalidate_tags` of two": lambda bench: _verb(bench, "invalidate_tags", "a", "b"),
    "`entries(f).set`, `cache.set`": lambda bench: _handle(bench, "set", 5, 1),
    "`cache.set`, with tags": lambda bench: _verb(bench, "set", "a", 1, 60, tags=["all"]),
    "`cache.set_many` of two": lambda bench: _verb(bench, "set_many", {"a": 1, "b": 2}, 60),
    "`cache.get_many` of two": _get_many,
    "`cache.get_many` of two, with tags": lambda bench: _get_many(bench, tags=["all"]),
    "`cache.expire`": _expire,
    "`entries(f).info`": lambda bench: _handle(bench, "info", 1),
    "`limiter.hit`, `limiter.throttle`": lambda bench: _limit(bench, "throttle", "9/minute", "product:7", max_wait=0),
    "`limiter.hit` of two quotas": lambda bench: _limit(bench, "hit", "9/minute, 90/hour", "product:7"),
    "`limiter.hit`, known to be refused": lambda bench: _limit(bench, "hit", "1/minute", "product:7", before=2),
    "`limiter.hit_all` of two keys": lambda bench: _limit(bench, "hit_all", [("9/minute", "a"), ("9/hour", "b")]),
    "`limiter.peek`": lambda bench: _limit(bench, "peek", "1/minute", "product:7"),
    "`limiter.refund`": lambda bench: _limit(bench, "refund", "1/minute", "product:7", before=1),
    "`limiter.settle`, and the hit before it": _settled,
    "`limiter.reset`": lambda bench: _limit(bench, "reset", "1/minute", "product:7", before=1),
    "`limiter.concurrency`, entered and left": _slot,
    **LOCKS,
    **ONCE,
    **HTTP,
    **SESSIONS,
}


def test_the_page_has_every_operation_that_is_measured() -> None:
    """Every operation has its row, and every row is measured."""
    assert [row[0] for row in _COMMANDS] == list(OPERATIONS)


@pytest.mark.parametrize(("operation", "sent", "commands", "trips"), _COMMANDS, ids=[row[0] for row in _COMMANDS])
def test_an_operation_sends_what_the_page_says(
    colour: Colour,
    servers: Servers,
    namespace: str,
    operation: str,
    sent: str,
    commands: str,
    trips: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Command by command and trip by trip, as the layer sends them and as the server sees them."""
    for module in (http_fetching, leasing, lock_waiting):
        monkeypatch.setattr(module, "pause", lambda *_, **__: 30.0)  # no looks in case that a message was lost
    for often in ("_QUEUED", "_NEXT"):
        monkeypatch.setattr(lock_waiting, often, 30.0)
    place = servers.topology(newest().name)
    teach(place.nodes)

    async def scenario() -> Bench:
        async with (
            colour.using(Layer(place.url, namespace=namespace)) as layer,
            colour.using(Layer(place.url, namespace=namespace)) as other,
        ):
            bench = Bench(colour, place, namespace, layer, other)
            await OPERATIONS[operation](bench)
            return bench

    bench = colour.run(scenario)
    expected = [] if sent == "nothing" else [tuple(trip.split()) for trip in sent.split(", ")]
    assert bench.sent[0].trips == expected
    assert (sum(map(len, expected)), len(expected)) == (int(commands), int(trips))
    seen = [named(one) for one in bench.seen.sent if one.name not in OF_LISTENING]
    assert sorted(seen) == sorted(name for sent in bench.sent for name in sent.names)
