"""`holdfast.django.HoldfastCache` does what Django documents of its cache API, in both colours, wherever Redis is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from support.colours import Colour, Verbs
from support.django_site import make_cache
from support.topologies import Topology

from django.core.cache.backends.base import CacheKeyWarning  # isort: skip - needs settings

Check = Callable[[Verbs, Any], Coroutine[Any, Any, None]]


@pytest.fixture
def run(colour: Colour, topology: Topology, namespace: str) -> Callable[..., None]:
    """Return what runs a check on a cache of the test's own, closed after."""

    def run_check(check: Check, **params: Any) -> None:
        async def scenario() -> None:
            cache = make_cache(topology.url, namespace, **params)
            cache.location = topology.url
            async with colour.using(cache.layer):
                await check(colour.of(cache), cache)

        colour.run(scenario)

    return run_check


def test_values_come_back(run: Callable[..., None]) -> None:
    """Whatever pickle takes comes back as what it was, None included; what is not there gives the default."""

    async def check(verbs: Verbs, _: Any) -> None:
        for value in (
            "é",
            b"\0\1",
            0,
            -7,
            2**70,
            10**5000,
            True,
            1.5,
            None,
            [(1, {2})],
            {"a": frozenset({1})},
            CacheKeyWarning,
        ):
            await verbs.set("key", value)
            found = await verbs.get("key", "default")
            assert (found, type(found)) == (value, type(value))
        assert await verbs.get("other") is None
        assert await verbs.get("other", "default") == "default"

    run(check)


def test_add_stores_only_what_is_not_there(run: Callable[..., None], colour: Colour) -> None:
    """It says whether it stored; of many callers at once, exactly one wins."""

    async def check(verbs: Verbs, _: Any) -> None:
        assert await verbs.add("key", "first") is True
        assert await verbs.add("key", "second") is False
        assert await verbs.get("key") == "first"

        async def race() -> bool:
            return bool(await verbs.add("raced", 1))

        assert sorted(await colour.together(*[race] * 5)) == [False] * 4 + [True]

    run(check)


def test_several_keys_at_once(run: Callable[..., None]) -> None:
    """What is absent is left out, None is a value, and deleting what is not there is no error."""

    async def check(verbs: Verbs, _: Any) -> None:
        assert await verbs.set_many({}) == []
        assert await verbs.set_many({"a": 1, "b": [2], "c": None}) == []
        assert await verbs.get_many(iter(["a", "b", "c", "d"])) == {"a": 1, "b": [2], "c": None}
        assert await verbs.get_many([]) == {}
        await verbs.delete_many(iter(["a", "b", "d"]))
        await verbs.delete_many([])
        assert await verbs.get_many(["a", "b", "c"]) == {"c": None}

    run(check)


def test_delete_and_has_key(run: Callable[..., None]) -> None:
    """Both say whether there was, or is, something under the key; None counts."""

    async def check(verbs: Verbs, _: Any) -> None:
        await verbs.set("key", None)
        assert await verbs.has_key("key") is True
        assert await verbs.delete("key") is True
        assert await verbs.delete("key") is False
        assert await verbs.has_key("key") is False

    run(check)


def test_get_or_set(run: Callable[..., None], colour: Colour) -> None:
    """A default is stored once, called if it can be; None is a value; a race gives all what was stored first."""

    async def check(verbs: Verbs, _: Any) -> None:
        assert await verbs.get_or_set("a", "value") == "value"
        assert await verbs.get_or_set("a", "other") == "value"
        assert await verbs.get_or_set("b", lambda: 5) == 5
        assert await verbs.get_or_set("c", None) is None
        assert await verbs.get_or_set("c", "other") is None
        assert await verbs.get_or_set("a", "versioned", version=2) == "versioned"
        assert await verbs.get_or_set("d", "not kept", timeout=0) == "not kept"
        assert await verbs.get("d") is None
        if colour.is_async:

            async def load() -> int:
                await verbs.set("raced", "the other's")
                return 1

            assert await verbs.get_or_set("raced", load) == "the other's"

    run(check)


def test_a_race_that_get_or_set_loses(topology: Topology, namespace: str) -> None:
    """What another has stored while the default was worked out is what is returned, and stays."""
    cache = make_cache(topology.url, namespace)
    with cache.layer:
        other = make_cache(topology.url, namespace)

        def load() -> str:
            other.set("key", "the other's")
            return "ours"

        assert cache.get_or_set("key", load) == "the other's"
        assert cache.get("key") == "the other's"


def test_incr_and_decr(run: Callable[..., None]) -> None:
    """Whole numbers that `set` stored are counted up and down, whatever their size; floats can be added to, too."""

    async def check(verbs: Verbs, _: Any) -> None:
        await verbs.set("n", 41)
        assert await verbs.incr("n") == 42
        assert await verbs.incr("n", 10) == 52
        assert await verbs.incr("n", -60) == -8
        assert await verbs.decr("n", 2) == -10
        assert await verbs.decr("n", -15) == 5
        assert await verbs.get("n") == 5
        await verbs.set("n", 2**53)
        assert await verbs.incr("n") == 2**53 + 1
        await verbs.set("n", 2**63 - 1)
        assert await verbs.incr("n") == 2**63
        assert await verbs.incr("n", -1) == 2**63 - 1
        assert await verbs.incr("n", -(2**64)) == 2**63 - 1 - 2**64
        await verbs.set("n", 1)
        assert await verbs.incr("n", 0.5) == 1.5
        assert await verbs.get("n") == 1.5

    run(check)


def test_incr_needs_a_number(run: Callable[..., None]) -> None:
    """A key that is not there is a ValueError, a value that is no number a TypeError, and nothing changes."""

    async def check(verbs: Verbs, _: Any) -> None:
        for verb in (verbs.incr, verbs.decr, verbs.incr_version, verbs.decr_version):
            with pytest.raises(ValueError, match="'missing' not found"):
                await verb("missing")
        assert await verbs.has_key("missing") is False
        for value in (None, "12", [1]):
            await verbs.set("key", value)
            with pytest.raises(TypeError):
                await verbs.incr("key")
            assert await verbs.get("key") == value

    run(check)


def test_nobody_s_count_gets_lost(run: Callable[..., None], colour: Colour) -> None:
    """Many who add at once all count, for whole numbers and for what Redis cannot add to."""

    async def check(verbs: Verbs, _: Any) -> None:
        for start, step in ((0, 1), (0.5, 1), (2**64, 1)):
            await verbs.set("n", start)

            async def add(step: int = step) -> None:
                for _ in range(5):
                    await verbs.incr("n", step)

            assert await colour.together(*[add] * 4) == [None] * 4
            assert await verbs.get("n") == start + 20

    run(check)


def test_versions(run: Callable[..., None]) -> None:
    """Versions of a key are keys of their own; changing one moves the value."""

    async def check(verbs: Verbs, cache: Any) -> None:
        await verbs.set("key", "one")
        await verbs.set("key", "two", version=2)
        assert await verbs.get("key") == await verbs.get("key", version=1) == "one"
        assert await verbs.get("key", version=2) == "two"
        assert await verbs.get_many(["key"], version=2) == {"key": "two"}
        assert await verbs.delete("key", version=2) is True
        assert await verbs.incr_version("key") == 2
        assert await verbs.get("key") is None
        assert await verbs.get("key", version=2) == "one"
        assert await verbs.incr_version("key", 3, version=2) == 5
        assert await verbs.decr_version("key", version=5) == 4
        assert await verbs.get("key", version=4) == "one"
        assert await verbs.incr_version("key", 0, version=4) == 4
        assert await verbs.get("key", version=4) == "one"
        cache.version = 4
        assert await verbs.get("key") == "one"

    run(check)


def test_clear_removes_what_is_in_the_cache_and_nothing_else(run: Callable[..., None], colour: Colour) -> None:
    """All versions and prefixes go, in every process at once; the rest of the layer stays, and the cache goes on."""

    async def check(verbs: Verbs, cache: Any) -> None:
        same = make_cache(str(cache.location), cache.layer.engine.namespace, KEY_PREFIX="p", OPTIONS={"max_timeout": 9})
        other = colour.of(same)
        await other.set("key", "prefixed")
        await colour.of(cache.layer.cache).set("key", "of the layer", 60)
        for value in ("kept", 5):
            await verbs.set("key", value)
            await verbs.set("key", value, version=2)
            await verbs.clear()
            assert await verbs.get("key") is None
            assert await verbs.get("key", version=2) is None
            assert await other.get("key") is None
            assert await other.add("key", "again") is True
        await other.clear()
        assert await verbs.add("number", 1) is True
        await other.clear()
        with pytest.raises(ValueError, match="not found"):
            await verbs.incr("number")
        await other.clear()
        assert await verbs.set_many({"a": 1, "b": "x"}) == []
        assert await other.delete("a") is False
        assert await verbs.get_many(["a", "b"]) == {"a": 1, "b": "x"}
        assert await colour.of(cache.layer.cache).get("key") == "of the layer"

    run(check)


def test_prefixes_and_key_functions(run: Callable[..., None]) -> None:
    """KEY_PREFIX keeps caches apart, and KEY_FUNCTION decides what the key is; any text can be one."""

    async def check(verbs: Verbs, cache: Any) -> None:
        await verbs.set("key", 1)
        cache.key_prefix = "other"
        assert await verbs.get("key") is None
        cache.key_func = lambda key, prefix, version: key
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheKeyWarning)
            names = ["", "}:{", "a b", "\n", "é", "x" * 300, "x" * 299 + "y"]
            await verbs.set_many({name: name for name in names})
            assert await verbs.get_many(names) == {name: name for name in names}

    run(check, KEY_PREFIX="one")


def test_keys_that_memcached_would_not_take(run: Callable[..., None]) -> None:
    """Every verb warns of them, as Django does, so that the project can move."""

    async def check(verbs: Verbs, _: Any) -> None:
        for key in ("a key", "x" * 250, "\x7f"):
            for verb, arguments in (
                ("get", (key,)), ("set", (key, 1)), ("add", (key, 1)), ("get_or_set", (key, 1)), ("touch", (key,)),
                ("incr", (key,)), ("decr", (key,)), ("get_many", ([key],)), ("set_many", ({key: 1},)),
                ("has_key", (key,)), ("incr_version", (key,)), ("delete_many", ([key],)), ("delete", (key,)),
            ):  # fmt: skip
                await verbs.set("a", 1)
                with pytest.warns(CacheKeyWarning, match="memcached"), suppress(ValueError):
                    await getattr(verbs, verb)(*arguments)

    run(check)
