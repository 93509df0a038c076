"""Timeouts of `holdfast.django.HoldfastCache`, what its verbs cost, and what it does when Redis forgets or is away."""

from __future__ import annotations

import pytest

from holdfast import BackendError, Layer
from support.colours import Colour
from support.django_site import make_cache
from support.programs import Program
from support.standalone import Standalone
from support.topologies import Topology

DAY = 86400


def test_everything_has_a_ttl(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """The timeout is kept to the millisecond; None, and what is longer than `max_timeout`, is that; nothing stays."""

    async def scenario() -> None:
        cache = make_cache(server_topology.url, namespace, TIMEOUT=700)
        async with colour.using(cache.layer):
            verbs = colour.of(cache)
            await verbs.set("default", "x")
            await verbs.set("ever", "x", None)
            await verbs.set("long", "x", 300 * DAY)
            await verbs.set("half", "x", 0.5)
            await verbs.add("added", "x", 50)
            await verbs.set_many({"many": 1, "more": "x"}, 60)
            await verbs.get_or_set("got", 1, 80)
            await verbs.set("touched", 1, 10)
            await verbs.touch("touched", None)
            await verbs.set("again", 1, 10)
            await verbs.touch("again")
            for value, delta in ((1, 1), (1.5, 1)):
                await verbs.set(f"n{value}", value, 90)
                await verbs.incr(f"n{value}", delta)
            await verbs.set("moved", "x", 70)
            await verbs.incr_version("moved")
            left = {key.split("{")[-1].split("}")[0]: ttl for key, ttl in server_topology.ttls(namespace).items()}
            expected = {
                ":1:default": 700, ":1:ever": 30 * DAY, ":1:long": 30 * DAY, ":1:half": 0.5, ":1:added": 50,
                ":1:many": 60, ":1:more": 60, ":1:got": 80, ":1:touched": 30 * DAY, ":1:again": 700,
                ":1:n1": 90, ":1:n1.5": 90, ":2:moved": 70, f"{namespace}:django-generation": 60 * DAY,
            }  # fmt: skip
            assert expected.keys() - {":1:half"} == left.keys() - {":1:half"}
            for name, ttl in left.items():
                assert expected[name] - 20 < ttl <= expected[name], name

    colour.run(scenario)


def test_a_default_timeout_of_none(server_topology: Topology, namespace: str) -> None:
    """TIMEOUT None is `max_timeout`, too."""
    cache = make_cache(server_topology.url, namespace, TIMEOUT=None, OPTIONS={"max_timeout": "1h"})
    with cache.layer:
        cache.set("a", "x")
        (left,) = server_topology.ttls(f"{namespace}:django:").values()
        assert 3580 < left <= 3600


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_timeouts_that_have_passed(colour: Colour, topology: Topology, namespace: str, timeout: float) -> None:
    """What is stored for no time is not there, nor what was there before; `add` and `touch` say what they found."""

    async def scenario() -> None:
        cache = make_cache(topology.url, namespace)
        async with colour.using(cache.layer):
            verbs = colour.of(cache)
            await verbs.set("key", "value")
            await verbs.set("key", "new", timeout)
            assert await verbs.has_key("key") is False
            await verbs.set_many({"a": 1, "b": 2})
            assert await verbs.set_many({"a": 3, "b": 4}, timeout) == []
            assert await verbs.get_many(["a", "b"]) == {}
            assert await verbs.add("key", "value", timeout) is True
            assert await verbs.get("key") is None
            await verbs.set("key", "value")
            assert await verbs.add("key", "new", timeout) is False
            assert await verbs.get("key") == "value"
            assert await verbs.touch("key", timeout) is True
            assert await verbs.touch("key", timeout) is False
            assert await verbs.touch("key") is False
            assert await verbs.get("key") is None

    colour.run(scenario)


def test_each_verb_costs_one_round_trip(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Reading the generation goes along; only the first verb of a process asks for it before."""

    async def scenario() -> None:
        cache = make_cache(server_topology.url, namespace)
        async with colour.using(cache.layer):
            verbs = colour.of(cache)
            await verbs.set("n", 1)
            await verbs.incr("n")  # lets the server know the script
            costs: dict[str, set[str]] = {}
            for verb, arguments in (
                ("get", ("n",)), ("set", ("n", 1)), ("add", ("n", 1)), ("incr", ("n",)), ("touch", ("n",)),
                ("has_key", ("n",)), ("delete", ("n",)), ("clear", ()),
            ):  # fmt: skip
                with server_topology.monitor(containing=namespace) as seen:
                    await getattr(verbs, verb)(*arguments)
                assert len(seen.sent) <= 2
                costs[verb] = {each.name for each in seen.sent}
            assert costs == {
                "get": {"MGET"}, "set": {"GET", "SET"}, "add": {"GET", "SET"}, "incr": {"GET", "EVALSHA"},
                "touch": {"GET", "PEXPIRE"}, "has_key": {"EXISTS", "GET"}, "delete": {"GET", "UNLINK"},
                "clear": {"SET"},
            }  # fmt: skip

    colour.run(scenario)


def test_a_generation_that_redis_lost_is_a_cache_that_was_cleared(colour: Colour, program: Program) -> None:
    """After an eviction or a flush nothing old comes back, and nothing new is lost."""

    async def scenario() -> None:
        with Standalone(program) as server:
            cache = make_cache(server.url, "lost")
            async with colour.using(cache.layer):
                verbs = colour.of(cache)
                await verbs.set("a", 1)
                server.client.delete("lost:django-generation")
                assert await verbs.get("a") is None
                await verbs.set("a", 2)
                server.client.flushdb()
                await verbs.set("a", 3)
                assert await verbs.get("a") == 3
                assert set(map(bytes.decode, server.client.keys())) >= {"lost:django-generation"}

    colour.run(scenario)


def test_a_generation_is_given_its_life_again(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before it would end, the next verb lets the generation live on, so that it outlives all that is stored."""
    with Standalone(program) as server:
        cache = make_cache(server.url, "life", OPTIONS={"max_timeout": 1000})
        with cache.layer:
            cache.set("a", 1)
            server.client.pexpire("life:django-generation", 1600_000)
            cache.set("a", 1)
            assert server.client.ttl("life:django-generation") <= 1600
            port = cache.layer.engine.blocking
            now = port.monotonic()
            monkeypatch.setattr(type(port), "monotonic", lambda self: now + 501)
            cache.set("a", 1)
            assert server.client.ttl("life:django-generation") > 1990


def test_without_redis_reads_find_nothing_and_removing_raises(colour: Colour, program: Program) -> None:
    """Pages go on; what was to be removed may still be there, so that is said."""

    async def scenario() -> None:
        with Standalone(program) as server:
            cache = make_cache(server.url, "away")
            async with colour.using(cache.layer):
                verbs = colour.of(cache)
                await verbs.set("a", 1)
                server.stop()
                assert await verbs.get("a", "default") == "default"
                assert await verbs.get_many(["a"]) == {}
                assert await verbs.has_key("a") is False
                assert await verbs.set("a", 2) is None
                assert await verbs.set_many({"a": 2, "b": 3}) == ["a", "b"]
                assert await verbs.add("c", 2) is False
                assert await verbs.touch("a") is False
                assert await verbs.get_or_set("a", lambda: 5) == 5
                for verb in (verbs.incr, verbs.incr_version):
                    with pytest.raises(ValueError, match="not found"):
                        await verb("a")
                for call in (verbs.delete("a"), verbs.delete_many(["a"]), verbs.clear(), verbs.set("a", 1, 0)):
                    with pytest.raises(BackendError):
                        await call
                assert cache.layer.stats().patterns["django"].errors > 8

    colour.run(scenario)


def test_without_redis_all_raise_if_told_so(colour: Colour, program: Program) -> None:
    """With ``on_failure="raise"`` no verb hides that Redis is away."""

    async def scenario() -> None:
        with Standalone(program) as server:
            cache = make_cache(server.url, "away", OPTIONS={"on_failure": "raise"})
            async with colour.using(cache.layer):
                verbs = colour.of(cache)
                await verbs.set("a", 1)
                server.stop()
                for call in (
                    verbs.get("a"), verbs.get_many(["a"]), verbs.has_key("a"), verbs.set("a", 1), verbs.add("a", 1),
                    verbs.touch("a"), verbs.incr("a"), verbs.incr_version("a"), verbs.get_or_set("a", 1),
                ):  # fmt: skip
                    with pytest.raises(BackendError):
                        await call

    colour.run(scenario)


def test_while_a_layer_is_disabled_reads_find_nothing(colour: Colour, namespace: str) -> None:
    """As with the layer's own cache; what is written is written."""

    async def scenario() -> None:
        cache = make_cache("memory://", namespace)
        verbs, layer = colour.of(cache), cache.layer
        assert isinstance(layer, Layer)
        async with colour.using(layer):
            await verbs.set("a", 1)
            with layer.disabled():
                assert await verbs.get("a") is None
                assert await verbs.get_many(["a"]) == {}
                assert await verbs.has_key("a") is False
                await verbs.set("b", 2)
            assert await verbs.get("b") == 2

    colour.run(scenario)
