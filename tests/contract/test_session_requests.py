"""Sessions over both middlewares, everywhere: what is kept, what is sent, and what requests do to each other."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer
from holdfast.errors import SerializationError, SessionError
from support.calls import Sent
from support.http_world import FRONTS, colour_of
from support.peeking import ask
from support.programs import oldest
from support.session_site import Site
from support.standalone import Standalone
from support.topologies import Topology

pytestmark = pytest.mark.parametrize("front", FRONTS[:2])


def put(**values: Any) -> Any:
    """Return an app that assigns."""
    return lambda session: session.update(values)


def test_a_session_from_its_beginning_to_its_end(front: str, topology: Topology, namespace: str) -> None:
    """It begins when something is written, keeps what is written, and is gone when it has ended."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, seen = Site(front, layer), list[Any]()
            assert (await site.ask(lambda session: seen.append(session.is_new))).fields.get("set-cookie") is None
            await site.ask(put(a=1, b={"c": (1, b"2", {3})}))
            first = site.cookie
            await site.ask(lambda session: seen.append((dict(session), session.is_new, session.handle)))
            assert seen == [True, ({"a": 1, "b": {"c": (1, b"2", {3})}}, False, site.handle)]
            await site.ask(lambda session: session["b"].pop("c"))
            await site.ask(lambda session: session.pop("a"))
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"b": {}}
            got = await site.ask(lambda session: session.end())
            assert (site.cookie, (got.fields.get("set-cookie") or "").count("Max-Age=0")) == ("", 1)
            await site.ask(lambda session: seen.append(dict(session)), cookie=first)
            assert seen[-1] == {}
            assert await colour.of(layer.sessions).open(first.partition("=")[2]) is None

    colour.run(scenario)


def test_what_is_sent(front: str, server_topology: Topology, namespace: str) -> None:
    """Nothing without a cookie; one command to read; two to write, however much it is; no key without expiry."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            site = Site(front, layer, idle="5m", absolute="1h")
            await site.ask(put(a=1, b=[1], c="x"))
            await site.ask(put(a=2))
            sent = Sent(layer)

            async def trips(act: Any = None, **more: Any) -> list[tuple[str, ...]]:
                sent.trips.clear()
                await site.ask(act, **more)
                return list(sent.trips)

            assert await trips(cookie="other=1") == []
            assert await trips(cookie="session=odd", keep=False) == []
            assert await trips() == [("session_load",)] * (front == "asgi"), "an app that is async cannot load it later"
            assert await trips(dict) == [("session_load",)]
            assert await trips(put(a=2)) == [("session_load",)], "it was 2"
            assert await trips(put(a=3)) == [("session_load",), ("session_save",)]
            assert await trips(lambda session: session["b"].append(2)) == [("session_load",), ("session_save",)]
            assert await trips(put(a=4, b=1, d=2)) == [("session_load",), ("session_save",)]
            assert await trips(lambda session: session.rotate()) == [("session_load",), ("session_save",)]
            assert await trips(put(a=1), cookie="x=1", keep=False) == [("session_create",)]
            with server_topology.monitor(namespace) as recording:
                await site.ask(lambda session: session.get("a"))
            assert len(recording.sent) == 1
            ttls = server_topology.ttls(namespace)
            assert len(ttls) == 2
            assert all(290 < left <= 300 for left in ttls.values()), ttls

    colour.run(scenario)


def test_requests_at_the_same_time(front: str, topology: Topology, namespace: str) -> None:
    """A slow request and a fast one keep what both have written; one that only reads undoes nothing."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, other = Site(front, layer), Site(front, layer)
            await site.ask(put(basket={"a": 1}, visits=1, plain=0))
            other.cookie = site.cookie

            async def slow(session: Any) -> None:
                session["slow"] = 1
                session["basket"]["slow"] = 1
                session["plain"] = "slow"
                session.change("visits", lambda visits: visits + 1)
                await other.ask(fast)

            def fast(session: Any) -> None:
                session["fast"] = 1
                session["basket"]["fast"] = 1
                session["plain"] = "fast"
                session.change("visits", lambda visits: visits + 1)

            async def reads(session: Any) -> None:
                assert session["plain"] == "slow"
                await other.ask(put(plain="written meanwhile"))

            await site.ask(slow)
            await site.ask(reads)
            assert dict(await colour.of(layer.sessions).open(site.value)) == {
                "basket": {"a": 1, "fast": 1, "slow": 1},
                "visits": 3,
                "plain": "written meanwhile",
                "slow": 1,
                "fast": 1,
            }

    colour.run(scenario)


@pytest.mark.parametrize("how", ["end", "clear", "revoke", "run out"])
def test_nothing_comes_back(front: str, topology: Topology, namespace: str, how: str) -> None:
    """A request that runs while its session ends stores nothing, and gives no cookie."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, other = Site(front, layer), Site(front, layer)
            await site.ask(put(a=1))
            other.cookie = site.cookie
            key = layer.engine.caching.names.session(site.handle)

            async def slow(session: Any) -> None:
                assert session["a"] == 1
                if how == "revoke":
                    assert await colour.of(layer.sessions).revoke(session.handle)
                elif how == "run out":
                    ask(layer, "PEXPIRE", key, 1, key=key)
                    await colour.until(lambda: not ask(layer, "EXISTS", key, key=key), "it is gone")
                else:
                    await other.ask(lambda session: getattr(session, how)())
                session["a"] = 2

            got = await site.ask(slow)
            assert (got.status, got.fields.get("set-cookie")) == (200, None)
            assert not ask(layer, "EXISTS", key, key=key)

    colour.run(scenario)


def test_rotating_beside_others(front: str, topology: Topology, namespace: str) -> None:
    """Requests that had loaded the old secret may still save; one that comes later with it gets nothing."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, other = Site(front, layer), Site(front, layer)
            await site.ask(put(a=1))
            other.cookie = old = site.cookie

            async def slow(session: Any) -> None:
                session["slow"] = 1
                session.rotate()
                await other.ask(lambda session: (session.rotate(), session.update(fast=1)))
                assert other.cookie != old

            assert (await site.ask(slow)).fields.get("set-cookie") is None
            late = await site.ask(put(late=1), cookie=old)
            assert late.fields.get("set-cookie") is None, "that would overwrite the new cookie"
            assert dict(await colour.of(layer.sessions).open(other.value)) == {"a": 1, "slow": 1, "fast": 1}
            assert await colour.of(layer.sessions).open(old.partition("=")[2]) is None

    colour.run(scenario)


@pytest.mark.parametrize("grace", [0, "10s"])
def test_a_log_out_beside_a_rotation(front: str, topology: Topology, namespace: str, grace: Any) -> None:
    """Who logs out has logged out, whatever secret there is by then."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, other = Site(front, layer, grace=grace), Site(front, layer, grace=grace)
            await site.ask(put(a=1))
            other.cookie = site.cookie

            async def leaves(session: Any) -> None:
                assert session["a"] == 1
                await other.ask(lambda session: session.rotate())
                session.log_out()

            await site.ask(leaves)
            assert site.cookie == ""
            assert await colour.of(layer.sessions).open(other.value) is None

    colour.run(scenario)


def test_two_first_requests(front: str, topology: Topology, namespace: str) -> None:
    """They get two sessions."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, other = Site(front, layer), Site(front, layer)

            async def slow(session: Any) -> None:
                await other.ask(put(a="other"))
                session["a"] = "slow"

            await site.ask(slow)
            assert site.handle != other.handle
            opened = [(await colour.of(layer.sessions).open(each.value))["a"] for each in (site, other)]
            assert opened == ["slow", "other"]

    colour.run(scenario)


def test_a_server_that_forgets_the_scripts(front: str, namespace: str) -> None:
    """They are sent again."""
    colour = colour_of(front)

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url, namespace=namespace)) as layer:
                site = Site(front, layer)
                for number in range(3):
                    server.client.script_flush()
                    await site.ask(lambda session, number=number: session.update({f"n{number}": number}))
                server.client.script_flush()
                assert dict(await colour.of(layer.sessions).open(site.value)) == {"n0": 0, "n1": 1, "n2": 2}

    colour.run(scenario)


def test_a_large_session(front: str, topology: Topology, namespace: str) -> None:
    """5,000 data with names in all scripts, and those that look like ours; one of them changes by itself."""
    colour = colour_of(front)
    names = ["@k", "@a", "@u", ".", ".a", "*", "=", "-", " ", "a\0b", "\n", "{}", "ключ", "鍵", "🔑", "a" * 5000]
    data = {name: place for place, name in enumerate([*names, *(f"n{number}" for number in range(5000))])}

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site = Site(front, layer)
            await site.ask(put(**data))
            await site.ask(lambda session: session.update({"@k": "x", "鍵": ["y"]}))
            session = await colour.of(layer.sessions).open(site.value)
            assert dict(session) == {**data, "@k": "x", "鍵": ["y"]}
            assert session.user is None
            await site.ask(lambda session: [session.pop(name) for name in names])
            assert len(await colour.of(layer.sessions).open(site.value)) == 5000

    colour.run(scenario)


@pytest.mark.parametrize("name", ["", "\ud800", 1, None, b"a", ("a",)])
def test_keys_that_are_none(front: str, namespace: str, name: Any) -> None:
    """Only texts can be stored; that shows at once, and nothing else is harmed."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site = Site(front, layer)

            def act(session: Any) -> None:
                session["a"] = 1
                with pytest.raises(SessionError):
                    session[name] = 1
                assert name not in session
                assert session.get(name) is None

            assert (await site.ask(act)).status == 200
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"a": 1}

    colour.run(scenario)


def test_a_value_that_cannot_be_stored(front: str, namespace: str) -> None:
    """The request fails, nothing of it is stored, and the answer was not begun."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site = Site(front, layer)
            await site.ask(put(a=1))
            try:
                got = await site.ask(lambda session: session.update(b=2, c=object()))
                error, line = got.error, got.line
            except SerializationError as raised:  # the client of WSGI apps lets it out
                error, line = raised, "0"
            assert isinstance(error, SerializationError)
            assert line == "0"
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"a": 1}

    colour.run(scenario)


def test_two_cookies_of_one_name(front: str, namespace: str) -> None:
    """The first that is a session is taken; one that was replaced or is not ours does not stand before it."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site = Site(front, layer)
            await site.ask(put(a=1))
            old = site.cookie
            await site.ask(lambda session: session.rotate())
            unknown = "session=" + "B" * 22 + "." + "C" * 43
            seen: list[Any] = []
            both = f"session=x; {unknown}; {old}; {site.cookie}"
            await site.ask(lambda session: seen.append(dict(session)), cookie=both)
            await site.ask(put(b=2), cookie=both)
            assert seen == [{"a": 1}]
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"a": 1, "b": 2}
            got = await site.ask(lambda session: (session.end(), session.update(c=3)), cookie=both)
            assert (got.fields.get("set-cookie") or "").startswith("session=")
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"c": 3}

    colour.run(scenario)


def test_head(front: str, namespace: str) -> None:
    """It is a request like any other."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site = Site(front, layer)
            got = await site.ask(put(a=1), line="HEAD /")
            assert (got.status, got.body, bool(site.cookie)) == (200, b"", True)

    colour.run(scenario)


def test_paths_without_sessions(front: str, namespace: str) -> None:
    """The app gets none there, also if the path is written in another way, and nothing is sent."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site, seen = Site(front, layer, exempt=("/health", "/static/*.css")), list[Any]()
            await site.ask(put(a=1))
            sent = Sent(layer)
            for path in ("/health", "/health/deep", "/static/a.css"):
                await site.ask(seen.append, line=f"GET {path}")
            assert (seen, sent.trips) == ([None] * 3, [])
            await site.ask(seen.append, line="GET /healthy")
            assert seen[-1] is not None

    colour.run(scenario)


def test_who_only_reads_writes_nothing_on_the_server(front: str, server_topology: Topology, namespace: str) -> None:
    """Also no expiry, as long as a tenth of the idle time, or a second, has not gone by since the last."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            site = Site(front, layer, idle="10h")
            await site.ask(put(a={"b", "c"}, d={"e": [1]}))
            key = layer.engine.caching.names.session(site.handle)
            ask(layer, "PEXPIRE", key, 35_999_900, key=key)
            with server_topology.monitor(namespace) as recording:
                for _ in range(3):
                    await site.ask(lambda session: session.copy())
            assert {each.name for each in recording.from_scripts} <= {"HGETALL", "PTTL", "HMGET", "HGET"}
            ask(layer, "PEXPIRE", key, 30_000_000, key=key)
            await site.ask(dict)
            assert ask(layer, "PTTL", key, key=key) > 35_990_000

    colour.run(scenario)


def test_a_new_session_for_other_times(front: str, server_topology: Topology, namespace: str) -> None:
    """A request that begins a session can say how long it lasts."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            for idle, absolute, least in (("5h", "90h", 18_000), ("50h", "7h", 25_200)):
                site = Site(front, layer)
                await site.ask(
                    lambda session, times=(idle, absolute): (
                        session.update(a=1),
                        session.expire_after(idle=times[0], absolute=times[1]),
                    )
                )
                left = server_topology.ttls(namespace)[layer.engine.caching.names.session(site.handle)]
                assert least - 5 < left <= least

    colour.run(scenario)
