"""Which rights a user of Redis needs for the HTTP cache: those that the page about connecting names for caching."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from holdfast import Layer
from holdfast.events import BackendFailed
from support.colours import Colour
from support.http_costs import LONG, REFRESHED, UNSTORED, URL
from support.http_steps import FRESH
from support.http_world import FRONTS, Clock, Says, World, colour_of
from support.peeking import idle, told
from support.programs import Program
from support.rights import rights
from support.standalone import Standalone

TAGGED: Final = (*REFRESHED, "Cache-Tag: all")
CONFIRMED: Final = (FRESH, 'ETag: "a"')


@pytest.fixture
def server(program: Program) -> Iterator[Standalone]:
    """Run a server of the test's own."""
    with Standalone(program) as server:
        yield server


@pytest.mark.parametrize("front", FRONTS)
def test_the_rights_of_the_page_suffice(front: str, server: Standalone) -> None:
    """Everything that the cache does works, and Redis has refused nothing but to know the client library's name."""
    colour = colour_of(front)
    server.ask("ACL", "SETUSER", "app", "reset", *rights())
    url = f"redis://app:secret@{server.host}:{server.port}/0"

    async def scenario() -> None:
        async with (
            colour.using(Layer(url, namespace="shop")) as layer,
            colour.using(Layer(url, namespace="shop")) as two,
        ):
            failures = [told(each, BackendFailed) for each in (layer, two)]
            clock = Clock(layer, two)
            site, other = World(front, layer, clock=clock), World(front, two, clock=clock)
            await _all_kinds_of_requests(colour, site)
            await _together(colour, server, site, other)
            assert failures == [[], []]
            assert [what for each in server.ask("ACL", "LOG") if (what := each[7]) != b"client"] == []

    colour.run(scenario)


async def _all_kinds_of_requests(colour: Colour, site: World) -> None:
    """Miss, hit, refresh behind, confirm, store nothing, change, stand in for a failure, invalidate and purge."""

    async def ask(told: str, line: str, *says: Says, wants: tuple[str, ...] = ()) -> None:
        site.origin.script = list(says)
        got = await site.ask(line, wants)
        await colour.until(lambda: idle(site.layer), "all is done behind")
        assert not site.origin.script
        assert (got.fields.get("cache-status") or "").startswith(f"holdfast;{told}")

    await ask("fwd=uri-miss;stored", "GET /", Says(TAGGED))
    await ask("hit;ttl=1", "GET /")
    site.clock.now += 2
    await ask("hit;ttl=-1", "GET /", Says(TAGGED))
    await ask("hit;ttl=1", "GET /")
    await ask("fwd=uri-miss;stored", "GET /long", Says(CONFIRMED, body=LONG))
    await ask("hit;ttl=3600", "GET /long")
    await ask("fwd=request;fwd-status=304", "GET /long", Says(CONFIRMED, 304), wants=("Cache-Control: no-cache",))
    await ask("fwd=uri-miss", "GET /never", Says(UNSTORED))
    await ask("fwd=method", "POST /long", Says())
    await ask("fwd=uri-miss;stored", "GET /long", Says((*CONFIRMED, "Cache-Control: stale-if-error=60")))
    site.clock.now += 3601
    await ask("fwd=stale;fwd-status=503", "GET /long", Says(status=503))
    await colour.of(site.layer.cache).invalidate_tags("all")
    await ask("fwd=", "GET /", Says(TAGGED))
    assert await colour.of(site.layer.http_cache).purge(URL) == 1


async def _together(colour: Colour, server: Standalone, site: World, other: World) -> None:
    """Wait for what another process fetches."""
    gate = colour.gate()
    site.origin.script, other.origin.script = [Says((FRESH,), gate=gate)], []

    async def follow() -> Any:
        await colour.until(lambda: gate.waiting, "the app is asked")
        return await other.ask("GET /together")

    async def let_go() -> None:
        await colour.until(lambda: server.client.pubsub_channels("shop:*"), "the other listens")
        gate.open()

    first, second, _ = await colour.together(lambda: site.ask("GET /together"), follow, let_go)
    assert (second.body, second.fields.get("cache-status")) == (first.body, "holdfast;hit;ttl=3600;detail=collapsed")
