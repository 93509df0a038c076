"""News that do not come: nothing is served while none can, and what is lost unnoticed is bounded in time."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer, entries
from holdfast.backend.failures import WireBroken
from holdfast.backend.subscriber_wire import SocketNews
from support.colours import Colour
from support.peeking import is_near, keep_near, near_epoch, near_is_up
from support.points import Points
from support.programs import Program
from support.proxy import Proxy
from support.standalone import Standalone
from support.table import Table
from support.times import Times
from support.topologies import Topology


class Outage:
    """Keeps all subscribers of the process from connecting until it is over."""

    def __init__(self) -> None:
        self.is_over = False
        right = SocketNews.go_live

        def go_live(wire: Any) -> None:
            if not self.is_over:
                raise WireBroken("refused", sent=False)
            right(wire)

        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(SocketNews, "go_live", go_live)

    def end(self) -> None:
        self.is_over = True
        self._patch.undo()


@pytest.mark.parametrize("way", ["killed", "cut"])
def test_what_was_kept_does_not_survive(colour: Colour, program: Program, namespace: str, way: str) -> None:
    """After a reconnect nothing from before is served: what happened meanwhile was not heard."""

    async def scenario() -> None:
        with Standalone(program) as server, Proxy(server.address) as proxy:
            async with (
                colour.using(Layer(proxy.url, namespace=namespace, near=60)) as layer,
                colour.using(Layer(server.url, namespace=namespace)) as other,
            ):
                table = Table(colour)
                row = table.on(layer)
                key = await keep_near(colour, layer, row)
                epoch = near_epoch(layer)
                if way == "killed":
                    server.client.client_kill_filter(_type="pubsub")
                else:
                    proxy.cut_all()
                await colour.until(lambda: near_epoch(layer) not in {epoch, None}, "the news are heard again")
                assert not is_near(layer, key)
                table.value = 2
                await colour.of(other.cache).delete("row:1")
                assert await colour.call(row, 1) == 2
                await keep_near(colour, layer, row)

    colour.run(scenario)


def test_nothing_is_served_meanwhile(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """While it is known that no news come, Redis is asked, so that a change is seen at once; nothing is kept either."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(server_topology.url, namespace=namespace, near=60)) as layer,
            colour.using(Layer(server_topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = table.on(layer)
            key = await keep_near(colour, layer, row)
            outage = Outage()
            kill_subscriber(server_topology, namespace)
            await colour.until(lambda: not near_is_up(layer), "it is known")
            for value in (2, 3):
                table.value = value
                await colour.of(other.cache).delete("row:1")
                for status in ("miss", "hit", "hit"):
                    found, info = await colour.of(entries(row)).call(1)
                    assert (found, info.status) == (value, status)
            outage.end()
            await colour.until(lambda: near_is_up(layer), "the news are heard again")
            assert not is_near(layer, key)
            await keep_near(colour, layer, row)

    colour.run(scenario)


def kill_subscriber(topology: Topology, namespace: str) -> None:
    """Cut off whoever listens to a namespace; the servers are shared."""
    for node in topology.nodes:
        for client in node.client.client_list(_type="pubsub"):
            if int(client["psub"]):
                node.client.client_kill_filter(_id=client["id"])


@pytest.mark.parametrize("tags", [[], ["t"]])
def test_lost_messages_are_bounded(
    colour: Colour, topology: Topology, namespace: str, monkeypatch: pytest.MonkeyPatch, tags: list[str]
) -> None:
    """Even if every message is lost unnoticed, an entry is served no longer than `near`."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace, near=30)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table, times = Table(colour), Times(layer)
            row = table.on(layer, 600, tags=tags)
            await keep_near(colour, layer, row)
            be_deaf(layer, monkeypatch)
            table.value = 2
            if tags:
                await colour.of(other.cache).invalidate_tags("t")
            else:
                await colour.of(other.cache).delete("row:1")
            times.go_by(29)
            assert await colour.call(row, 1) == 1
            times.go_by(1)
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


def be_deaf(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the layer lose every message from now on without knowing it."""
    for name in ("heard", "changed", "flushed"):
        monkeypatch.setattr(layer.engine.caching.nearby, name, lambda *_: None)


@pytest.mark.parametrize("point", ["GET!", "fill!"])
def test_the_time_counts_from_sending(
    colour: Colour, namespace: str, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """A caller that is held up between reply and keeping keeps its entry for so much less."""

    async def scenario() -> None:
        url = f"memory://{namespace}"
        async with (
            colour.using(Layer(url, namespace=namespace, near=30)) as layer,
            colour.using(Layer(url, namespace=namespace)) as other,
        ):
            table, times = Table(colour), Times(layer)
            row = table.on(layer, 600)
            await colour.call(row, 2)
            await colour.until(lambda: near_is_up(layer), "the news are heard")
            be_deaf(layer, monkeypatch)
            if point == "GET!":
                await colour.call(table.on(other, 600), 1)
            points = Points(layer)
            points.hold(point)

            async def dawdle() -> None:
                await colour.until(lambda: points.holds(point), "the caller is held up")
                times.go_by(20)
                table.value = 2
                await colour.of(other.cache).delete("row:1")
                points.release(point)

            assert await colour.together(table.calling(row, 1), dawdle) == [1, None]
            assert is_near(layer, entries(row).key(1))
            times.go_by(9)
            assert await colour.call(row, 1) == 1
            times.go_by(1)
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


@pytest.mark.parametrize("brought_by", ["read", "fill"])
def test_never_past_the_end_of_freshness(colour: Colour, namespace: str, brought_by: str) -> None:
    """An entry that runs out sooner than `near` is dropped then."""

    async def scenario() -> None:
        url = f"memory://{namespace}"
        async with (
            colour.using(Layer(url, namespace=namespace, near=60)) as layer,
            colour.using(Layer(url, namespace=namespace)) as other,
        ):
            table, times = Table(colour), Times(layer)
            row = table.on(layer, 20, grace=600)
            key = entries(row).key(1)
            await colour.call(row, 2)
            await colour.until(lambda: near_is_up(layer), "the news are heard")
            if brought_by == "read":
                await colour.call(table.on(other, 20, grace=600), 1)
            await colour.call(row, 1)
            assert is_near(layer, key)
            times.go_by(19)
            assert is_near(layer, key)
            times.go_by(1)
            assert not is_near(layer, key)
            refresh = table.stop()  # it would bring a fresh one
            _, info = await colour.of(entries(row)).call(1)
            assert info.status == "stale"
            assert not is_near(layer, key), "what is stale is not kept"
            refresh.open()

    colour.run(scenario)
