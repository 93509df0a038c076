"""A few scenarios of the HTTP cache in every place: what is stored lies in Redis, with a time to live."""

from __future__ import annotations

import pytest

from holdfast import Layer
from support.http_steps import FRESH, Case, behind, confirmed, hit, later, miss, play, purge
from support.http_world import Clock, Says, World, colour_of
from support.peeking import forget
from support.topologies import Topology

CC = "Cache-Control: "
TAG = 'ETag: "a"'
BODY = b"0123456789" * 5000
CASES = [
    Case(
        "store, validate, serve",
        miss(CC + "max-age=60", TAG),
        hit(),
        later(60),
        confirmed(FRESH, TAG),
        hit(),
        later(1),
        hit(has="Age: 1"),
    ),
    Case(
        "variants",
        *[miss(FRESH, "Vary: X-A", wants=f"X-A: {at}") for at in (1, 2)],
        hit(1, wants="X-A: 1"),
        hit(2, wants="X-A: 2"),
    ),
    Case(
        "a long body, and its ranges",
        miss(FRESH, body=BODY, pieces=9),
        hit(body=BODY),
        hit(wants="Range: bytes=4-5", status=206, body=b"45"),
    ),
    Case(
        "unsafe requests",
        miss(FRESH),
        miss(FRESH, to="GET /a"),
        miss("Location: /a", to="POST /"),
        miss(FRESH),
        miss(FRESH, to="GET /a"),
    ),
    Case("purges", miss(FRESH), purge("http://shop.example/"), miss(FRESH)),
    Case("refreshed behind", miss(CC + "max-age=10, stale-while-revalidate=60"), later(15), behind(FRESH), hit(2)),
    Case("what is not to be stored", miss(CC + "no-store"), miss(CC + "private"), miss(FRESH), miss(FRESH), hit(4)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
@pytest.mark.parametrize("front", ["asgi", "wsgi"])
def test_everywhere(case: Case, front: str, topology: Topology, namespace: str) -> None:
    """What holds in the embedded backend holds on every server."""
    play(case, front, namespace, topology.url)


@pytest.mark.parametrize("front", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("line", "tag", "least", "most"),
    [
        (CC + "max-age=60, must-revalidate", "X-A: 1", 58, 60),
        (CC + "max-age=60", "X-A: 1", 358, 360),
        (CC + "max-age=60, stale-while-revalidate=1000", "X-A: 1", 1058, 1060),
        (CC + "max-age=60, stale-if-error=1000", "X-A: 1", 1058, 1060),
        (CC + "max-age=60, must-revalidate", TAG, 3658, 3660),
        (CC + "max-age=999999999999", "X-A: 1", 86400 * 365 - 2, 86400 * 365),
    ],
    ids=[
        "its lifetime",
        "while the app may raise",
        "while revalidating",
        "if error",
        "while it may be validated",
        "at most a year",
    ],
)
def test_time_to_live(
    front: str, line: str, tag: str, least: int, most: int, server_topology: Topology, namespace: str
) -> None:
    """Redis keeps a response for as long as it is of any use, and no key without an end (RFC 9111, 4.2.4)."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            world = World(front, layer)
            for body in (b"short", BODY):
                world.origin.script = [Says((line, tag), body=body)]
                await world.ask(f"GET /{len(body)}")
            ttls = server_topology.ttls(f"{namespace}:cache:")
            assert len(ttls) == 3, ttls
            for key, ttl in ttls.items():
                assert least <= ttl <= most + (60 if len(key) > 80 else 0), ttls

    colour.run(scenario)


@pytest.mark.parametrize("front", ["asgi", "wsgi"])
def test_processes_share(front: str, server_topology: Topology, namespace: str) -> None:
    """What one process has stored another serves, and what one purges, or changes, is gone in all of them at once."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with (
            colour.using(Layer(server_topology.url, namespace=namespace)) as first,
            colour.using(Layer(server_topology.url, namespace=namespace)) as second,
        ):
            clock = Clock(first, second)
            one, two = (World(front, layer, clock=clock) for layer in (first, second))
            one.origin.script = [Says((FRESH,), body=at) for at in (b"1", b"2", b"3")]
            for world in (one, two, one, two):
                assert (await world.ask("GET /")).body == b"1"
            await colour.of(second.http_cache).purge("http://shop.example/")
            assert [(await world.ask("GET /")).body for world in (one, two)] == [b"2", b"2"]
            two.origin.script = [Says()]
            await two.ask("POST /")
            assert [(await world.ask("GET /")).body for world in (one, two)] == [b"3", b"3"]

    colour.run(scenario)


@pytest.mark.parametrize("front", ["asgi", "wsgi"])
def test_tags(front: str, topology: Topology, namespace: str) -> None:
    """What Cache-Tag names removes all responses that have the tag, of whatever URL."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            world = World(front, layer)
            for path in ("/a", "/b", "/c"):
                tags = "Cache-Tag: one, two" if path == "/a" else "Cache-Tag: two" if path == "/b" else "X-A: 1"
                world.origin.script = [Says((FRESH, tags), body=path.encode())]
                await world.ask(f"GET {path}")
            assert not world.origin.script
            for gone, kept in (("one", "/b /c"), ("two", "/c")):
                await colour.of(layer.cache).invalidate_tags(gone)
                for path in ("/a", "/b", "/c"):
                    world.origin.script = [Says((CC + "no-store",), body=b"new")]
                    body = (await world.ask(f"GET {path}")).body
                    assert body == (path.encode() if path in kept.split() else b"new"), (gone, path)

    colour.run(scenario)


@pytest.mark.parametrize("way", ["304", "HEAD", "304 for another variant"])
@pytest.mark.parametrize("front", ["asgi", "wsgi"])
def test_long_bodies_last(front: str, way: str, server_topology: Topology, namespace: str) -> None:
    """A body that lies apart from its page is kept for as long as the page, when that is brought up to date too."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            world = World(front, layer)
            lines = (TAG, f"Content-Length: {len(BODY)}", "Vary: X-A")
            if "another" in way:  # whose ETag was seen to differ
                world.origin.script = [Says((CC + "max-age=60", 'ETag: "z"', "Vary: X-A"), body=b"z")]
                await world.ask("GET /", ["X-A: 0"])
            world.origin.script = [Says((CC + "max-age=60", *lines), body=BODY)]
            await world.ask("GET /", ["X-A: 1"])
            world.clock.now += 61
            line = "HEAD /" if way == "HEAD" else "GET /"
            world.origin.script = [Says((CC + "max-age=100000", *lines), 200 if way == "HEAD" else 304)]
            await world.ask(line, ["X-A: 2" if "another" in way else "X-A: 1"])
            assert not world.origin.script
            ttls = server_topology.ttls(f"{namespace}:cache:")
            assert len(ttls) == 2
            assert min(ttls.values()) > 100_000, ttls

    colour.run(scenario)


@pytest.mark.parametrize("front", ["asgi", "wsgi"])
def test_a_body_that_is_gone(front: str, server_topology: Topology, namespace: str) -> None:
    """A body that Redis has evicted is fetched anew by one request, and stored, whatever else was wanted of it."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            world = World(front, layer)
            for wants in ([], ["Range: bytes=0-1"], ['If-None-Match: "z"']):
                world.origin.script = [Says((FRESH, TAG), body=BODY)]
                await world.ask("GET /")
                for key in server_topology.ttls(f"{namespace}:cache:"):
                    if not key.endswith("}"):
                        forget(layer, key)
                world.origin.script = [Says((FRESH, TAG), body=BODY)]
                got = await world.ask("GET /", wants)
                assert got.status == 200
                assert got.body == BODY
                world.origin.script = []
                assert (await world.ask("GET /")).body == BODY, wants
                await colour.of(layer.http_cache).purge("http://shop.example/")

    colour.run(scenario)
