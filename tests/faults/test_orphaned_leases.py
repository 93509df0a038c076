"""Redis goes away between the grant of a lease and its end: nobody waits for a load that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from holdfast import BackendError, Layer
from holdfast.commands import get
from holdfast.core import batch_asking, leasing, returning
from support.colours import Colour
from support.flights import joined, reached
from support.proxy import Proxy
from support.topologies import Servers
from support.waiting import until

KINDS = ["one", "many", "unkept"]
ENDS = ["returns", "raises"]
PATIENT: dict[str, Any] = {"lease": "50s", "wait": "10s", "on_wait_timeout": "raise"}
"""Who waits for the end of the lease raises."""


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waiters look only when they begin to listen, and when they hear something."""
    for module in (leasing, batch_asking):
        monkeypatch.setattr(module, "pause", lambda *_, **__: 50.0)


@pytest.fixture
def retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lease be given back again soon."""
    monkeypatch.setattr(returning, "_RETRY", 0.02)


@pytest.fixture
def not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lease never be given back again."""
    monkeypatch.setattr(returning, "_RETRY", 500.0)


@pytest.fixture
def proxy(servers: Servers) -> Iterator[Proxy]:
    with Proxy(servers.standalone().address) as proxy:
        yield proxy


def decorated(colour: Colour, layer: Layer, kind: str, work: Callable[[int], Any]) -> Callable[..., Any]:
    """Return a function of one argument that loads by `work`; all kinds of it have the same keys."""

    async def one(number: int) -> Any:
        return await work(number)

    async def many(numbers: list[int]) -> dict[int, Any]:
        return {number: await work(number) for number in numbers}

    if kind == "many":
        function = layer.cached_many(60, key="slow:{number}", **PATIENT)(colour.function(many))
        return lambda number: function([number])
    options = {"key": "slow:{number}", **PATIENT}
    if kind == "unkept":
        return layer.stampede_protected(**options)(colour.function(one))
    return layer.cached(60, **options)(colour.function(one))


class Loader:
    """A load in whose midst Redis goes away, once."""

    def __init__(self, colour: Colour, proxy: Proxy, end: str) -> None:
        self.gate = colour.gate()
        self.loads = 0
        self._proxy = proxy
        self._end = end

    async def load(self, number: int) -> int:
        self.loads += 1
        if self.loads > 1:
            return number
        await self.gate.passed()
        lose(self._proxy)
        if self._end == "raises":
            raise LookupError(number)
        return number


def lose(proxy: Proxy) -> None:
    """Let nobody reach the server any more."""
    proxy.refuse()
    proxy.cut_all()


async def back(colour: Colour, proxy: Proxy, layer: Layer) -> None:
    """Let the server be reached again, and wait until a layer does."""
    proxy.restore()
    while not await reachable(colour, layer):
        await colour.sleep(0.01)


async def reachable(colour: Colour, layer: Layer) -> bool:
    try:
        await port_of(colour, layer).call(get("any"))
    except BackendError:
        return False
    return True


def port_of(colour: Colour, layer: Layer) -> Any:
    return layer.engine.asyncio if colour.is_async else layer.engine.blocking


def lease_of(layer: Layer, kind: str, number: int = 1) -> Any:
    """Return what reads a lease."""
    return get(f"{layer.engine.namespace}:{'flight' if kind == 'unkept' else 'lease'}:{{slow:{number}}}")


def orphans(layer: Layer) -> list[tuple[str, str]]:
    return layer.engine.caching.flights.orphans.left(0.0)


def is_tended(layer: Layer) -> bool:
    """Say whether work is under way that gives leases back."""
    return layer.engine.caching.flights.orphans._tended is not None


@contextmanager
def connected(proxy: Proxy, namespace: str) -> Iterator[tuple[Layer, Layer]]:
    """Give a layer behind the proxy, and one that reaches the server whatever happens."""
    direct = f"redis://{proxy.target[0]}:{proxy.target[1]}/0"
    with Layer(proxy.url, namespace=namespace) as here, Layer(direct, namespace=namespace) as there:
        yield here, there


@pytest.mark.usefixtures("not_retried")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_next_caller_of_the_process_takes_over_what_was_left(
    colour: Colour, proxy: Proxy, namespace: str, kind: str, end: str
) -> None:
    """A lease that a load could not give back, whether it returned or raised, keeps nobody waiting."""

    async def scenario() -> None:
        with connected(proxy, namespace) as (here, there):
            loader = Loader(colour, proxy, end)
            function = decorated(colour, here, kind, loader.load)
            loader.gate.open()
            with suppress(LookupError):
                await colour.call(function, 1)
            await back(colour, proxy, here)
            lease = await port_of(colour, there).call(lease_of(there, kind))
            assert lease is not None
            assert [nonce for _, nonce in orphans(here)] == [lease[:16].decode()]
            assert await colour.call(function, 1) == ({1: 1} if kind == "many" else 1)
            assert await port_of(colour, there).call(lease_of(there, kind)) is None
            assert loader.loads == 2
            assert not orphans(here)

    colour.run(scenario)


@pytest.mark.usefixtures("no_polls", "retried")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_who_waits_in_another_process_is_told_when_redis_is_back(
    colour: Colour, proxy: Proxy, namespace: str, kind: str, end: str
) -> None:
    """The lease is given back as soon as that can be done, and then nothing goes on."""

    async def scenario() -> None:
        with connected(proxy, namespace) as (here, there):
            loader = Loader(colour, proxy, end)
            mine, other = (decorated(colour, layer, kind, loader.load) for layer in (here, there))

            async def first() -> Any:
                return await colour.call(mine, 1)

            async def waiter() -> Any:
                await colour.until(lambda: loader.gate.waiting, "the load runs")
                return await colour.call(other, 1)

            async def conduct() -> None:
                name = f"{namespace}:{'flight-' if kind == 'unkept' else ''}news:{{slow:1}}"
                port = port_of(colour, there)
                await colour.until(lambda: joined(there), "somebody waits")
                while not (await port.call(get_listeners(name)))[1]:
                    await colour.sleep(0.005)
                loader.gate.open()
                await colour.until(lambda: orphans(here), "the lease is left behind")
                assert is_tended(here)
                proxy.restore()

            _, result, failure = await colour.together(first, waiter, conduct)
            assert failure is None
            assert result == ({1: 1} if kind == "many" else 1)
            await colour.until(lambda: not is_tended(here), "all is given back")
            assert not orphans(here)

    colour.run(scenario)


def get_listeners(channel: str) -> Any:
    return get(channel)._replace(words=("PUBSUB", "NUMSUB", channel), keys=())


@pytest.mark.usefixtures("not_retried")
def test_a_grant_that_nobody_heard_of_is_taken_over(colour: Colour, proxy: Proxy, namespace: str) -> None:
    """Redis goes away with the replies to `acquire`; its caller loads without a lease, the next one with it."""

    async def scenario() -> None:
        with connected(proxy, namespace) as (here, there):
            loads: list[int] = []

            async def load(number: int) -> int:
                loads.append(number)
                return number

            function = decorated(colour, here, "unkept", load)
            await colour.call(function, 2)  # the server knows the script now, and there is a connection
            proxy.refuse()
            proxy.cut_after(0)
            assert await colour.call(function, 1) == 1
            assert await port_of(colour, there).call(lease_of(there, "unkept")) is not None
            await back(colour, proxy, here)
            assert await colour.call(function, 1) == 1
            assert await port_of(colour, there).call(lease_of(there, "unkept")) is None
            assert loads == [2, 1, 1]

    colour.run(scenario)


@pytest.mark.usefixtures("retried")
def test_a_lease_that_has_run_out_is_forgotten(colour: Colour, proxy: Proxy, namespace: str) -> None:
    """While Redis stays away nothing is tried for longer than the lease would have lasted."""

    async def scenario() -> None:
        with connected(proxy, namespace) as (here, _):

            async def load(number: int) -> int:
                lose(proxy)
                return number

            function = here.cached(60, key="slow:{number}", lease="150ms")(colour.function(load))
            assert await colour.call(function, 1) == 1
            assert orphans(here)
            await colour.until(lambda: not is_tended(here), "nothing is tried any more")
            assert not orphans(here)

    colour.run(scenario)


@pytest.mark.usefixtures("retried")
def test_a_closed_layer_tries_no_more(colour: Colour, proxy: Proxy, namespace: str) -> None:
    """Closing ends the work that gives leases back, and does not wait for it."""

    async def scenario() -> None:
        async with colour.using(Layer(proxy.url, namespace=namespace)) as layer:
            loader = Loader(colour, proxy, "returns")
            loader.gate.open()
            await colour.call(decorated(colour, layer, "one", loader.load), 1)
            assert is_tended(layer)
            backend = layer.engine.backend
            recurring = [*backend._hands._recurring, *backend._tasks._recurring]
            assert any(each.work for each in recurring)
        assert not any(each.work for each in recurring)

    colour.run(scenario)


@pytest.mark.usefixtures("retried")
def test_the_end_of_a_loop_does_not_end_the_giving_back(proxy: Proxy, namespace: str) -> None:
    """What one loop has not managed, the next one does that loads anything, even something else."""
    colour = Colour("async")
    with connected(proxy, namespace) as (here, there):
        loader = Loader(colour, proxy, "returns")
        function = decorated(colour, here, "one", loader.load)
        loader.gate.open()
        assert asyncio.run(function(1)) == 1
        assert orphans(here)
        proxy.restore()

        async def later() -> None:
            await back(colour, proxy, here)
            await function(2)
            await reached(lambda: not orphans(here))

        asyncio.run(later())
        until(lambda: there.engine.blocking.call_now(lease_of(there, "one")) is None, "the lease is given back")
