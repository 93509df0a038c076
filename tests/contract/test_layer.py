"""The layer as a whole: which one is used, how it is turned off, what it counts, and how it ends."""

from __future__ import annotations

import gc
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast import BackendUnavailable, Layer, cached, configure, entries
from holdfast import defaults as layers
from support.colours import Colour
from support.topologies import Topology


def counting(colour: Colour, decorate: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    calls: list[int] = []

    async def count(number: int) -> int:
        calls.append(number)
        return number

    return decorate(60, key="count:{number}")(colour.function(count)), calls


@pytest.fixture
def no_default(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the default layer during a test."""
    monkeypatch.setattr(layers, "_default", None)
    return iter(())


def test_an_explicit_layer_wins_over_the_default_one(colour: Colour, namespace: str) -> None:
    """`layer=` is used whatever `configure` says."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(namespace=namespace)) as layer,
            colour.using(configure("memory://unused")) as default,
        ):
            function, _ = counting(colour, lambda ttl, **options: cached(ttl, layer=layer, **options))
            await colour.call(function, 1)
            assert layer.stats().fills == 1
            assert default.stats().fills == 0
        configure()

    colour.run(scenario)


def test_the_default_layer_is_found_at_each_call(colour: Colour, namespace: str) -> None:
    """`configure` may come after decorating, and again: functions use the latest, and the first still works."""

    async def scenario() -> None:
        function, calls = counting(colour, cached)
        async with colour.using(configure("memory://", namespace=f"{namespace}-1")) as first:
            await colour.call(function, 1)
            async with colour.using(configure("memory://", namespace=f"{namespace}-2")) as second:
                await colour.call(function, 1)
                await colour.call(function, 1)
                assert calls == [1, 1]
                assert (first.stats().fills, second.stats().fills, second.stats().hits) == (1, 1, 1)
                assert await colour.of(first.cache).get("count:1") == 1
        configure()

    colour.run(scenario)


@pytest.mark.usefixtures("no_default")
def test_without_configure_the_environment_says_where(
    colour: Colour, topology: Topology, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`HOLDFAST_URL` and `HOLDFAST_NAMESPACE` make the default layer when it is first needed."""
    monkeypatch.setenv("HOLDFAST_URL", topology.url)
    monkeypatch.setenv("HOLDFAST_NAMESPACE", namespace)

    async def scenario() -> None:
        function, calls = counting(colour, cached)
        assert layers._default is None
        async with colour.using(layers.default_layer()):
            await colour.call(function, 1)
            await colour.call(function, 1)
            assert calls == [1]
            assert entries(function).key(1) == f"{namespace}:cache:{{count:1}}"
            async with colour.using(Layer(topology.url, namespace=namespace)) as same:
                assert await colour.of(same.cache).get("count:1") == 1
            async with colour.using(Layer.from_env(namespace=f"{namespace}-other")) as other:
                assert await colour.of(other.cache).get("count:1") is None

    colour.run(scenario)


@pytest.mark.usefixtures("no_default")
def test_without_anything_the_default_layer_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that configures nothing has a cache of its own; one layer, whichever thread asks first."""
    monkeypatch.delenv("HOLDFAST_URL", raising=False)
    monkeypatch.delenv("HOLDFAST_NAMESPACE", raising=False)
    found: list[Layer] = []
    threads = [threading.Thread(target=lambda: found.append(layers.default_layer())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert repr(found[0]) == "<Layer memory://, namespace ''>"


def test_two_namespaces_do_not_see_each_other(colour: Colour, topology: Topology, namespace: str) -> None:
    """Same Redis, same function, same arguments: two entries, and a deletion in one leaves the other."""

    async def scenario() -> None:
        names = (namespace, f"{namespace}:sub", "")
        first, second, third = (Layer(topology.url, namespace=name) for name in names)
        async with colour.using(first), colour.using(second), colour.using(third):
            for number, layer in enumerate((first, second)):
                await colour.of(layer.cache).set("a", number, 60)
            assert await colour.of(first.cache).get("a") == 0
            assert await colour.of(second.cache).get("a") == 1
            assert await colour.of(third.cache).get(f"{namespace}:a") is None
            assert await colour.of(first.cache).delete("a") == 1
            assert await colour.of(second.cache).get("a") == 1

    colour.run(scenario)


def test_two_layers_on_one_redis_and_namespace_share_entries(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """As two processes do."""

    async def scenario() -> None:
        first, second = Layer(topology.url, namespace=namespace), Layer(topology.url, namespace=namespace)
        async with colour.using(first), colour.using(second):
            one, calls = counting(colour, first.cached)
            two, others = counting(colour, second.cached)
            await colour.call(one, 1)
            assert await colour.call(two, 1) == 1
            assert (calls, others) == ([1], [])

    colour.run(scenario)


def test_stats_count_in_all_and_by_pattern(colour: Colour, topology: Topology, namespace: str) -> None:
    """Hits, misses, fills and their ratio, by key template, by function, and for `layer.cache`."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            function, _ = counting(colour, layer.cached)
            for number in (1, 1, 1, 2):
                await colour.call(function, number)
            await colour.of(layer.cache).get("absent")
            stats = layer.stats()
            counts = stats.patterns["count:{number}"]
            assert (counts.hits, counts.misses, counts.fills, counts.coalesced, counts.errors) == (2, 2, 2, 0, 0)
            assert counts.hit_ratio == 0.5
            assert stats.patterns["layer.cache"].misses == 1
            assert (stats.hits, stats.misses, stats.fills) == (2, 3, 2)
            assert stats.hit_ratio == 0.4
            assert Layer().stats().hit_ratio == 0

    colour.run(scenario)


def test_a_hook_that_raises_is_logged_and_harms_nobody(
    colour: Colour, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The call goes on, the other hooks are told, and the log names the event and no value."""

    async def scenario() -> None:
        seen: list[object] = []

        def broken(event: object) -> None:
            raise LookupError("broken")

        async with colour.using(Layer(namespace=namespace, hooks=[broken])) as layer:
            layer.add_hook(seen.append)
            function, _ = counting(colour, layer.cached)
            assert await colour.call(function, 1) == 1
            assert [type(event).__name__ for event in seen] == ["Miss", "Fill"]

    with caplog.at_level(logging.ERROR, "holdfast"):
        colour.run(scenario)
    assert [record.getMessage() for record in caplog.records] == ["a hook failed on Miss", "a hook failed on Fill"]


@pytest.mark.parametrize("on_failure", ["bypass", "raise"])
def test_a_closed_layer_behaves_as_if_redis_were_away(
    colour: Colour, topology: Topology, namespace: str, on_failure: Any
) -> None:
    """Calls bypass it, or raise and say that it is closed; changes always raise; closing twice is harmless."""

    async def scenario() -> None:
        layer = Layer(topology.url, namespace=namespace, on_failure=on_failure)
        function, calls = counting(colour, layer.cached)
        async with colour.using(layer):
            await colour.call(function, 1)
        await colour.of(layer).close()
        layer.close()
        if on_failure == "bypass":
            assert await colour.call(function, 1) == 1
            assert calls == [1, 1]
            assert await colour.of(layer.cache).get("a", "default") == "default"
        else:
            with pytest.raises(BackendUnavailable, match="closed"):
                await colour.call(function, 1)
            with pytest.raises(BackendUnavailable, match="closed"):
                await colour.of(layer.cache).get("a")
            assert calls == [1]
        for change in ("invalidate", "refresh"):
            with pytest.raises(BackendUnavailable, match="closed"):
                await getattr(colour.of(entries(function)), change)(1)
        with pytest.raises(BackendUnavailable, match="closed"):
            await colour.of(layer.cache).set("a", 1, 60)

    colour.run(scenario)


@pytest.mark.parametrize("closes", [True, False])
def test_a_layer_that_is_dropped_leaves_no_warning(
    colour: Colour, topology: Topology, namespace: str, closes: bool
) -> None:
    """A program that closes its layer after the loop has ended, or never, is not scolded."""

    def program() -> None:
        layer = Layer(topology.url, namespace=namespace)
        function, _ = counting(colour, layer.cached)

        async def scenario() -> None:
            await colour.call(function, 1)

        colour.run(scenario)
        if closes:
            layer.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program()
        gc.collect()


def test_the_package_offers_what_it_promises() -> None:
    """Every public name is there and documented."""
    for name in holdfast.__all__:
        assert getattr(holdfast, name) is not None
        if name not in {"MISSING", "__version__"}:
            assert getattr(holdfast, name).__doc__
