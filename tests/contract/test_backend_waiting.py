"""Promises of pipelines that wait for replicas: a connection of their own, nobody held up, and never a wrong count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from holdfast import commands
from holdfast.commands import Command, Reply, Word, wait_for_replicas
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from support.backends import Opened, beside, opened
from support.cluster import Cluster
from support.colours import Colour
from support.migration import Migration
from support.programs import Program, oldest
from support.replicated import Replicated, replicated
from support.standalone import Standalone

ASYNC = Colour("async")
LONG = 30.0
"""Seconds; nobody waits so long where all goes well."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Replicated]:
    """A primary and its replica, which may be paused for a while."""
    with replicated(oldest()) as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with replicas, whose slots may be moved."""
    with Cluster(oldest(), replicas=True) as found:
        yield found


def pipeline(key: str, seconds: float = LONG, replicas: int = 1) -> list[Command]:
    """Return a write, and the wait for it."""
    return [commands.put(key, b"v", 60), wait_for_replicas(key, replicas, seconds)]


def script(keys: list[str]) -> Command:
    """Return a script that no server knows, since its text is new."""
    tail: list[Word] = [len(keys), *keys]
    source = f"redis.call('SET', KEYS[1], 'v', 'PX', 60000) return '{keys[0]}'"
    return Command(("EVALSHA", "0" * 40, *tail), tuple(keys), fallback=("EVAL", source, *tail))


async def refused(it: Opened, *sent: Command) -> None:
    """Check that every command of a pipeline is refused as unavailable."""
    outcomes = await it.port.outcomes(sent)
    assert [type(outcome) for outcome in outcomes] == [BackendUnavailable] * len(sent)
    assert "try again" in str(outcomes[0])


def test_it_waits_for_the_write_before_it(colour: Colour, program: Program, namespace: str) -> None:
    """When the reply counts a replica, the replica has the value."""

    async def scenario() -> None:
        with replicated(program) as servers:
            async with opened(colour, servers.primary.url) as it:
                for number in range(20):
                    key = f"{namespace}:{number}"
                    assert await it.port.pipeline(pipeline(key)) == [b"OK", 1]
                    assert servers.replica.client.get(key) == b"v"

    colour.run(scenario)


def test_all_of_it_goes_over_one_connection_that_is_closed_after(colour: Colour, namespace: str) -> None:
    """Not over that of the loop or a pooled one; and a script goes with its text, or it would be sent again apart."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, server.url) as it:
                await it.port.call(commands.get(namespace))
                with server.monitor() as seen:
                    words = [script([namespace]), *pipeline(namespace, 0.01)]
                    assert await it.port.pipeline(words) == [namespace.encode(), b"OK", 0]
                    await it.port.call(commands.get(namespace))
                ours = {one.name: one.client for one in seen.sent}
                assert ours["EVAL"] == ours["SET"] == ours["WAIT"] != ours["GET"]
                assert "EVALSHA" not in ours
                await colour.until(lambda: ours["WAIT"] not in _clients(server), "it is closed")
                assert ours["GET"] in _clients(server)

    colour.run(scenario)


def test_it_ends_in_time_and_holds_nobody_up(colour: Colour, pair: Replicated, namespace: str) -> None:
    """While a replica is silent others of the same pool or loop are answered; the wait may exceed the time-out."""

    async def scenario() -> None:
        async with opened(colour, f"{pair.primary.url}?max_connections=1&socket_timeout=0.25") as it:
            assert await it.port.call(commands.get(namespace)) is None
            over: list[bool] = []

            async def wait() -> list[Reply]:
                started = time.monotonic()
                replies: list[Reply] = await it.port.pipeline(pipeline(namespace, 0.6))
                over.append(True)
                assert 0.5 < time.monotonic() - started < 10
                return replies

            async def others() -> int:
                await colour.until(lambda: _waiting(pair.primary), "it waits")
                for number in range(20):
                    await it.port.call(commands.put(f"{namespace}:{number}", b"v", 60))
                assert over == []
                return 20

            with pair.replica.paused():
                assert await colour.together(wait, wait, others) == [[b"OK", 0], [b"OK", 0], 20]
            assert it.events == []
            assert await it.port.pipeline(pipeline(namespace)) == [b"OK", 1]

    colour.run(scenario)


def test_the_patience_of_its_caller_is_kept(colour: Colour, pair: Replicated, namespace: str) -> None:
    """Who is less patient than the wait is told in time, and that it may have been executed."""

    async def scenario() -> None:
        async with opened(colour, pair.primary.url) as it:
            with pair.replica.paused():
                started = time.monotonic()
                hurried = [command._replace(patience=0.1, repeatable=False) for command in pipeline(namespace)]
                with pytest.raises(BackendTimeout, match="may have been executed"):
                    await it.port.pipeline(hurried)
                assert time.monotonic() - started < 5
            await colour.until(lambda: not _waiting(pair.primary), "the connection is closed")

    colour.run(scenario)


def test_a_cancelled_wait_leaves_no_connection(pair: Replicated, namespace: str) -> None:
    """Whoever is cancelled is free at once, and the server lets go of the wait."""

    async def scenario() -> None:
        async with opened(ASYNC, pair.primary.url) as it:
            with pair.replica.paused():
                waiting = asyncio.ensure_future(it.port.pipeline(pipeline(namespace)))
                await ASYNC.until(lambda: _waiting(pair.primary), "it waits")
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await ASYNC.until(lambda: not _waiting(pair.primary), "it is let go")

    ASYNC.run(scenario)


def test_closing_ends_a_wait(colour: Colour, pair: Replicated, namespace: str) -> None:
    """A backend that is closed does not leave a caller waiting."""

    async def scenario() -> None:
        async with opened(colour, pair.primary.url) as it:

            async def wait() -> object:
                return await it.port.pipeline(pipeline(namespace))

            async def close() -> None:
                await colour.until(lambda: _waiting(pair.primary), "it waits")
                if colour.is_async:
                    await it.backend.aclose()
                else:
                    it.backend.close()

            with pair.replica.paused():
                outcome, _ = await colour.together(wait, close)
            assert type(outcome) is BackendUnavailable
            assert "closed" in str(outcome)

    colour.run(scenario)


def test_a_server_that_is_a_replica_now(colour: Colour, namespace: str) -> None:
    """All of it is refused, not sent again in parts; when the server is a primary it works, without a pause."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, server.url) as it:
                server.ask("REPLICAOF", "127.0.0.1", "1")
                await refused(it, *pipeline(namespace, 0.01))
                assert _asked(server, "set") == 1
                with pytest.raises(BackendUnavailable, match="READONLY"):
                    await it.port.pipeline(pipeline(namespace, 0.01))
                server.ask("REPLICAOF", "NO", "ONE")
                assert await it.port.pipeline(pipeline(namespace, 0.01)) == [b"OK", 0]

    colour.run(scenario)


def test_another_refusal_is_of_its_command_alone(colour: Colour, pair: Replicated, namespace: str) -> None:
    """What Redis says of one command says nothing of the others."""

    async def scenario() -> None:
        async with opened(colour, pair.primary.url) as it:
            wrong = Command(("LPUSH", namespace, "x"), (namespace,))
            write, wait = pipeline(namespace)
            first, second, third = await it.port.outcomes([write, wrong, wait])
            assert (first, type(second), third) == (b"OK", BackendError, 1)

    colour.run(scenario)


def test_on_a_cluster_it_goes_to_the_owner_of_its_keys(colour: Colour, cluster: Cluster, namespace: str) -> None:
    """Each pipeline waits for the replica of its own node; one over several nodes has a wait on each."""

    async def scenario() -> None:
        async with opened(colour, cluster.url) as it:
            keys = [f"{namespace}:{number}" for number in range(12)]
            for key in keys:
                assert await it.port.pipeline(pipeline(key)) == [b"OK", 1]
            waits = [command for key in keys for command in pipeline(key)]
            assert await it.port.pipeline(waits) == [b"OK", 1] * len(keys)
            assert {cluster.owner(key).port for key in keys} == {node.port for node in cluster.primaries}

    colour.run(scenario)


@pytest.mark.parametrize("answer", ["MOVED", "ASK", "TRYAGAIN"])
def test_a_slot_that_moves(colour: Colour, cluster: Cluster, namespace: str, answer: str) -> None:
    """It is refused as a whole and no other node is asked; the next try goes to the new owner, and waits there."""
    keys = [f"{{{namespace}}}:{each}" for each in range(2)]

    async def scenario() -> None:
        async with opened(colour, cluster.url) as it:
            write = script(keys)
            sent = [write, *pipeline(keys[0])]
            assert await it.port.pipeline(sent) == [keys[0].encode(), b"OK", 1]
            move = cluster.move(keys[0])
            await beside(colour, lambda: _bring_to(answer, move, keys))
            with cluster.monitor(namespace) as seen:
                await refused(it, *sent)
            assert seen.sent == [], "no node has executed any of it"
            if answer != "MOVED":
                await beside(colour, move.finish)
            assert await it.port.pipeline(sent) == [keys[0].encode(), b"OK", 1]
            assert move.target.client.get(keys[0]) == b"v"

    colour.run(scenario)


def test_a_node_that_closes_the_connection(colour: Colour, cluster: Cluster, namespace: str) -> None:
    """What may not be sent twice is not, nor does a part of it go elsewhere."""

    async def scenario() -> None:
        async with opened(colour, cluster.url) as it:
            count = Command(("INCR", namespace), (namespace,))
            kill = Command(("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"), (namespace,))
            outcomes = await it.port.outcomes([count, kill, wait_for_replicas(namespace, 1, LONG)])
            assert [type(outcome) for outcome in outcomes] == [BackendUnavailable] * 3
            assert await it.call("GET", namespace) == b"1"

    colour.run(scenario)


def _bring_to(answer: str, move: Migration, keys: list[str]) -> None:
    """Bring a slot's move to where its first owner gives an answer."""
    if answer == "TRYAGAIN":
        move.source.ask("SET", keys[1], "v", "PX", 60_000)
    move.begin()
    if answer != "MOVED":
        move.carry(keys[0])
    else:
        move.finish()


def _asked(server: Standalone, command: str) -> int:
    """Return how often a server was asked, and refused to execute."""
    found = server.client.info("commandstats")[f"cmdstat_{command}"]
    assert not found["calls"]
    return int(found["rejected_calls"])


def _clients(server: Standalone) -> set[str]:
    return {client["addr"] for client in server.client.client_list()}


def _waiting(server: Standalone) -> int:
    return int(server.client.info("clients")["blocked_clients"])
