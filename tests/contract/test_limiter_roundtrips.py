"""What limits send, counted by the servers themselves: one script for each hit, or nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from holdfast import Layer, RateLimited
from support.calls import Sent, named, teach
from support.colours import Colour
from support.programs import Program
from support.standalone import Standalone
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")

THREE = "9/second, 8/hour; algorithm=fixed_window, 7/day; algorithm=sliding_log"
KEYS = [("9/day", "global"), ("2/day", "address:10.0.0.7"), ("5/hour", "user:42")]


def test_each_verb_is_one_command(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """EVALSHA and nothing else, whatever the number of quotas; a hit that is known to be refused sends nothing."""

    async def scenario() -> None:
        teach(server_topology.nodes)
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            decision = await limiter.hit("9/day", "settled")  # opens the connection

            @layer.rate_limited("1/day", key="{number}", on_refused=lambda _: None)
            @colour.function
            async def limited(number: int) -> int:
                return number

            steps: list[tuple[list[str], Any]] = [
                (["hit"], lambda: limiter.hit("1/day", "k")),
                (["hit"], lambda: limiter.hit("1/day", "k")),
                ([], lambda: limiter.hit("1/day", "k")),
                (["hit"], lambda: limiter.hit("1/day", "k", cost=0)),
                (["hit"], lambda: limiter.hit(THREE, "k")),
                (["hit"], lambda: limiter.hit_all([(THREE, "a"), ("5/day", "b")], colocate="c")),
                (["hit"], lambda: limiter.peek("1/day", "k")),
                (["hit"], lambda: limiter.peek(THREE, "k")),
                (["hit"], lambda: limiter.throttle("5/day", "t", max_wait=0)),
                (["adjust"], lambda: limiter.refund(THREE, "k")),
                (["adjust"], lambda: limiter.settle(decision, 3)),
                (["UNLINK"], lambda: limiter.reset("1/day", "k")),
                (["hit"], lambda: colour.call(limited, 1)),
                (["hit"], lambda: colour.call(limited, 1)),
                ([], lambda: colour.call(limited, 1)),
            ]
            for number, (names, step) in enumerate(steps):
                with server_topology.monitor(containing=namespace) as seen:
                    await step()
                assert [named(one) for one in seen.sent] == names, number
                assert {one.name for one in seen.sent} <= {"EVALSHA", "UNLINK"}

    colour.run(scenario)


def test_several_keys_are_one_command_if_one_script_can_see_them(
    colour: Colour, server_topology: Topology, namespace: str
) -> None:
    """On a cluster each slot gets one, all in one round trip; a refusal adds refunds of the slots that were charged."""
    teach(server_topology.nodes)
    apart = server_topology.name == "cluster"

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            limiter, sent = colour.of(layer.limiter), Sent(layer)

            async def hit(**options: Any) -> list[tuple[str, ...]]:
                layer.engine.limiting.denials.known.clear()
                sent.trips.clear()
                with server_topology.monitor(containing=namespace) as seen:
                    await limiter.hit_all(KEYS, **options)
                assert Counter(map(named, seen.sent)) == Counter(sent.names)
                return sent.trips.copy()

            await hit()
            assert await hit(colocate="tenant:7") == [("hit",)]
            assert await hit() == ([("hit",) * 3] if apart else [("hit",)])
            assert await hit() == ([("hit",) * 3, ("adjust",) * 2] if apart else [("hit",)])
            sent.trips.clear()
            await limiter.hit_all(KEYS)
            assert sent.trips == []

    colour.run(scenario)


def test_a_slot_is_one_command_to_take_and_one_to_give_back(
    colour: Colour, server_topology: Topology, namespace: str
) -> None:
    """And one that is not free is one command."""

    async def scenario() -> None:
        teach(server_topology.nodes)
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            limit = layer.limiter.concurrency(1, "k")
            async with colour.using(limit):
                pass
            with server_topology.monitor(containing=namespace) as seen:
                async with colour.using(limit):
                    with pytest.raises(RateLimited):
                        async with colour.using(limit):
                            pass
            assert [named(one) for one in seen.sent] == ["slot_take", "slot_take", "slot_leave"]

    colour.run(scenario)


def test_a_server_that_forgets_its_scripts_gets_them_again(colour: Colour, program: Program, namespace: str) -> None:
    """A hit is charged once then, and callers notice nothing: the script goes in full after it was not found."""

    async def scenario() -> None:
        with Standalone(program) as server:
            async with colour.using(Layer(server.url, namespace=namespace)) as layer:
                limiter = colour.of(layer.limiter)
                await limiter.hit_all(KEYS)
                server.client.script_flush()
                decision = await limiter.hit_all(KEYS)
                assert [policy.remaining for policy in decision.policies] == [7, 0, 3]
                server.client.script_flush()
                assert (await limiter.settle(decision, 2)).policies[0].remaining == 6
                async with colour.using(layer.limiter.concurrency(1, "k")) as slot:
                    server.client.script_flush()
                async with colour.using(layer.limiter.concurrency(1, "k")) as again:
                    server.client.script_flush()
                assert [each.decision.degraded for each in (slot, again)] == [False, False]
                async with colour.using(layer.limiter.concurrency(1, "k")) as last:
                    assert last.decision.remaining == 0
                assert not decision.degraded
                assert layer.stats().errors == 0

    colour.run(scenario)
