"""What is asked of the HTTP cache while the test of costs counts what that sends: two layers, as in two processes.

The colour of a bench says which middleware: sync is that of WSGI, async that of ASGI. What a row says holds for both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from support.calls import named
from support.http_steps import FRESH
from support.http_world import HOST, Clock, Says, World
from support.peeking import idle

TAGGED: Final = (FRESH, "Cache-Tag: all")
REFRESHED: Final = ("Cache-Control: max-age=1, stale-while-revalidate=60",)
VALIDATED: Final = ("Cache-Control: max-age=1", 'ETag: "a"')
STANDING_IN: Final = ("Cache-Control: max-age=1, stale-if-error=60",)
UNSTORED: Final = ("Cache-Control: no-store",)
LONG: Final = bytes(range(256)) * 65
"""More than 16 KiB."""
URL: Final = f"http://{HOST}/"


class Site:
    """One app behind the middleware of two processes; only the first is measured."""

    def __init__(self, bench: Any, **options: Any) -> None:
        front = "asgi" if bench.colour.is_async else "wsgi"
        self.bench = bench
        self.clock = Clock(bench.layer, bench.other)
        self.own = World(front, bench.layer, clock=self.clock, **options)
        self.other = World(front, bench.other, clock=self.clock, **options)

    async def ask(self, line: str, *lines: str, at: World | None = None, wants: Sequence[str] = (), **says: Any) -> str:
        """Send a request; the app answers `lines`, and must not be asked if there are none. Return the Cache-Status."""
        world = at or self.own
        world.origin.script = [Says(lines, **says)] if lines else []
        got = await world.ask(line, wants)
        await self.bench.colour.until(lambda: idle(world.layer), "all is done behind")
        assert not world.origin.script, "the app was not asked"
        assert got.status != 599, "the app was asked"
        return got.fields.get("cache-status") or "none"

    async def warm(self) -> None:
        """Let the process learn that there is an epoch of tags, as it does with its first miss."""
        await self.ask("GET /first", FRESH)

    async def measure(self, told: str, line: str, *lines: str, **says: Any) -> None:
        """Note what one request sends, and see that what happens is what was meant."""
        await self.bench.measure(self.expect(told, line, *lines, **says))

    async def expect(self, told: str, line: str, *lines: str, **says: Any) -> None:
        """Send a request, whose Cache-Status begins so."""
        status = await self.ask(line, *lines, **says)
        assert status.removeprefix("holdfast;").startswith(told), status


async def _hit(bench: Any, *lines: str, line: str = "GET /", before: int = 0, **says: Any) -> None:
    """Ask for what is stored, after it was read so many times."""
    site = Site(bench)
    await site.ask("GET /", *(lines or (FRESH,)), **says)
    for _ in range(before):
        await site.ask("GET /")
    await site.measure("hit", line)


async def _first_hit(bench: Any, *lines: str) -> None:
    """Ask for what another process has stored."""
    site = Site(bench)
    await site.warm()
    await site.ask("GET /", *lines, at=site.other)
    await site.measure("hit", "GET /")


async def _miss(bench: Any, *lines: str, told: str = "fwd=uri-miss", line: str = "GET /", **says: Any) -> None:
    site = Site(bench)
    await site.warm()
    await site.measure(told, line, *lines, **says)


async def _first_miss(bench: Any) -> None:
    await Site(bench).measure("fwd=uri-miss;stored", "GET /", FRESH)


async def _known_miss(bench: Any) -> None:
    site = Site(bench)
    await site.ask("GET /", FRESH)
    await bench.colour.of(bench.layer.http_cache).purge(URL)
    await site.measure("fwd=uri-miss;stored", "GET /", FRESH)


async def _outdated(
    bench: Any, told: str, before: Sequence[str], *lines: str, status: int = 200, body: bytes | None = None
) -> None:
    """Ask when what is stored is stale."""
    site = Site(bench)
    await site.ask("GET /", *before, body=body)
    site.clock.now += 2
    await site.measure(told, "GET /", *lines, status=status)


async def _unstored(bench: Any, *, before: int, later: float = 0.0) -> None:
    """Ask for what was not to be stored so many times before."""
    site = Site(bench)
    port = bench.layer.engine.asyncio if bench.colour.is_async else bench.layer.engine.blocking
    passed, real = 0.0, port.monotonic
    port.monotonic = lambda: real() + passed
    for _ in range(before):
        await site.ask("GET /", *UNSTORED)
    passed = later
    await site.measure("fwd=uri-miss", "GET /", *UNSTORED)


async def _change(bench: Any, status: int) -> None:
    site = Site(bench)
    await site.ask("GET /", FRESH)
    await site.measure("fwd=method", "POST /", "X-Done: yes", status=status)


async def _overtaken(bench: Any) -> None:
    """Purge a URL while the app answers."""
    site, gate = Site(bench), bench.colour.gate()
    await site.warm()

    async def purge() -> None:
        await bench.colour.until(lambda: gate.waiting, "the app is asked")
        assert await bench.colour.of(bench.other.http_cache).purge(URL) == 0
        gate.open()

    async def ask() -> None:
        await site.ask("GET /", FRESH, gate=gate)

    async def both() -> None:
        assert await bench.colour.together(ask, purge) == [None, None]

    fills = bench.layer.stats().fills
    await bench.measure(both)
    assert bench.layer.stats().fills == fills


async def _joining(bench: Any) -> None:
    """Wait for a request in the same process, and take off what that one sends."""
    site, waits = Site(bench), 0
    port = bench.layer.engine.asyncio if bench.colour.is_async else bench.layer.engine.blocking
    wait = port.wait

    async def noted(*args: Any) -> None:
        nonlocal waits
        waits += 1
        await wait(*args)

    port.wait = noted
    await _while_fetched(site, site.own, lambda: waits)
    for trip in [("acquire", "GET"), ("fill",)]:
        bench.sent[0].trips.remove(trip)
        for name in trip:
            bench.seen.seen.remove(next(one for one in bench.seen.sent if named(one) == name))


async def _waiting(bench: Any) -> None:
    """Wait for a request in another process."""
    site = Site(bench)
    await site.ask("GET /another", FRESH, at=site.other)
    await _while_fetched(site, site.other, lambda: bench.sent[0].names.count("acquire") == 2)


async def _while_fetched(site: Site, fetcher: World, until: Callable[[], object]) -> None:
    """Ask for what another request is fetching, which gets its answer once `until` is true."""
    gate, colour = site.bench.colour.gate(), site.bench.colour
    await site.warm()

    async def fetch() -> None:
        await site.ask("GET /", FRESH, at=fetcher, gate=gate)

    async def follow() -> None:
        await colour.until(lambda: gate.waiting, "the app is asked")
        await site.expect("hit;ttl=3600;detail=collapsed", "GET /")

    async def let_go() -> None:
        await colour.until(until, "somebody waits")
        gate.open()

    async def all_three() -> None:
        assert await colour.together(fetch, follow, let_go) == [None, None, None]

    await site.bench.measure(all_three)


async def _private(bench: Any) -> None:
    await Site(bench, private=["/account"]).measure("none", "GET /account", FRESH)


async def _purge(bench: Any, *urls: str) -> None:
    await bench.measure(bench.colour.of(bench.layer.http_cache).purge(*urls))


HTTP: Final[dict[str, Callable[[Any], Awaitable[None]]]] = {
    "`GET`, hit": lambda bench: _hit(bench, before=2),  # by the short way, where there is one
    "`GET`, hit, the body beyond 16 KiB": lambda bench: _hit(bench, FRESH, body=LONG),
    "`GET`, hit, with tags": lambda bench: _hit(bench, *TAGGED, before=1),
    "`GET`, hit, with tags, for the first time": lambda bench: _hit(bench, *TAGGED),
    "`GET`, hit, first asked for in this process": lambda bench: _first_hit(bench, FRESH),
    "`GET`, hit, with tags, first asked for in this process": lambda bench: _first_hit(bench, *TAGGED),
    "`GET`, miss": lambda bench: _miss(bench, FRESH, told="fwd=uri-miss;stored"),
    "`GET`, miss, asked for in this process before": _known_miss,
    "`GET`, miss, the body beyond 16 KiB": lambda bench: _miss(bench, FRESH, told="fwd=uri-miss;stored", body=LONG),
    "`GET`, miss, with tags": lambda bench: _miss(bench, *TAGGED, told="fwd=uri-miss;stored"),
    "`GET`, miss, the very first of this process": _first_miss,
    "`GET`, miss, invalidated meanwhile": _overtaken,
    "`GET`, miss, fetched in this process": _joining,
    "`GET`, miss, fetched in another process": _waiting,
    "`GET`, stale, and validated behind": lambda bench: _outdated(bench, "hit;ttl=-", REFRESHED, FRESH),
    "`GET`, stale, made anew": lambda bench: _outdated(bench, "fwd=stale;stored", VALIDATED, FRESH),
    "`GET`, stale, and the app says 304": lambda bench: _outdated(
        bench, "fwd=stale;fwd-status=304", VALIDATED, *VALIDATED, status=304
    ),
    "`GET`, stale, the body beyond 16 KiB, and the app says 304": lambda bench: _outdated(
        bench, "fwd=stale;fwd-status=304", VALIDATED, *VALIDATED, status=304, body=LONG
    ),
    "`GET`, stale, and the app fails": lambda bench: _outdated(
        bench, "fwd=stale;fwd-status=503", STANDING_IN, "X-Failed: yes", status=503
    ),
    "`GET`, not to be stored": lambda bench: _miss(bench, *UNSTORED),
    "`GET`, not to be stored, the second time": lambda bench: _unstored(bench, before=1),
    "`GET`, not to be stored, within five seconds of that": lambda bench: _unstored(bench, before=2, later=4.9),
    "`GET`, not to be stored, later": lambda bench: _unstored(bench, before=2, later=5.1),
    "`HEAD`, hit": lambda bench: _hit(bench, line="HEAD /"),
    "`HEAD`, miss": lambda bench: _miss(bench, FRESH, line="HEAD /"),
    "`POST`": lambda bench: _change(bench, 200),
    "`POST`, refused by the app": lambda bench: _change(bench, 403),
    "a path in `private`": _private,
    "`http_cache.purge` of one": lambda bench: _purge(bench, URL),
    "`http_cache.purge` of two": lambda bench: _purge(bench, URL, f"{URL}b"),
}
"""By what the page calls it."""
