"""What waiting callers need of connections: none from the pool, and not even the one that brings messages."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast import Layer
from support.both import SharedSource
from support.calls import Sent
from support.colours import Colour
from support.flights import joined
from support.processes import opening, parties
from support.programs import Program
from support.standalone import Standalone
from support.topologies import Servers
from support.waiting import until

CROWD = 20


def test_waiting_callers_hold_no_connection(colour: Colour, servers: Servers, namespace: str) -> None:
    """Twenty wait for another process, two connections are allowed, and others work as if nobody waited."""
    url = f"{servers.standalone().url}?max_connections=2&timeout=0.5"

    async def scenario() -> None:
        async with parties(colour, url, namespace, layer={"on_failure": "raise"}) as (source, here, there):
            waiters = [there.after(lambda: source.loads) for _ in range(CROWD)]

            async def others() -> Any:
                await colour.until(lambda: there.listens(CROWD), "all wait")
                cache = colour.of(there.layer.cache)
                for number in range(5):
                    await cache.set(f"other:{number}", number, 60)
                found = [await cache.get_or_load(f"other:{number}", lambda: 0, 60) for number in range(5)]
                source.gate.open()
                return found

            *results, found = await colour.together(here.caller, *waiters, others)
            assert results == [[1]] * (CROWD + 1)
            assert found == list(range(5))
            assert source.loads == 1

    colour.run(scenario)


def test_each_key_has_its_waiters_woken(colour: Colour, servers: Servers, namespace: str) -> None:
    """Twenty callers wait for twenty loads of another process, with two connections."""
    url = f"{servers.standalone().url}?max_connections=2&timeout=5"

    async def scenario() -> None:
        async with parties(colour, url, namespace, layer={"on_failure": "raise"}) as (source, here, there):

            def caller(function: Any, number: int) -> Any:
                async def act() -> Any:
                    if function is there.slow:
                        await colour.until(lambda: source.loads == CROWD, "all loads run")
                    return await colour.call(function, number)

                return act

            loaders = [caller(here.slow, number) for number in range(CROWD)]
            waiters = [caller(there.slow, number) for number in range(CROWD)]
            let_go = opening(colour, source, lambda: there.sent.names.count("acquire") >= 2 * CROWD)
            *results, _ = await colour.together(*loaders, *waiters, let_go)
            assert results == [[number] for number in range(CROWD)] * 2
            assert (here.loads, there.loads) == (CROWD, 0)

    colour.run(scenario)


def test_a_subscriber_that_is_cut_off_while_somebody_waits(colour: Colour, program: Program, namespace: str) -> None:
    """Its server closes the connection, once or for good: the waiter gets the value long before the lease ends."""

    async def scenario(*, for_good: bool) -> None:
        with Standalone(program) as server:
            async with parties(colour, server.url, namespace, lease="50s", wait="50s") as (source, here, there):

                async def cut() -> None:
                    await colour.until(there.listens, "it listens")
                    if for_good:
                        server.client.execute_command("ACL", "SETUSER", "default", "-subscribe")
                    server.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                    await colour.until(lambda: there.sent.names.count("acquire") >= 3, "it has looked again")
                    source.gate.open()

                waiter = there.after(lambda: source.loads)
                assert await colour.together(here.caller, waiter, cut) == [[1], [1], None]
                assert (here.loads, there.loads) == (1, 0)

    colour.run(lambda: scenario(for_good=False))
    colour.run(lambda: scenario(for_good=True))


@pytest.mark.parametrize("mixed", ["threads", "loops", "both"])
def test_threads_and_loops_of_two_processes_share_one_load(servers: Servers, namespace: str, mixed: str) -> None:
    """A crowd of any kind in each of two processes: one load among all."""
    url = servers.standalone().url
    with Layer(url, namespace=namespace) as here, Layer(url, namespace=namespace) as there:
        sources, sent = [SharedSource(here), SharedSource(there)], Sent(there)

        def start(source: SharedSource, pool: ThreadPoolExecutor) -> list[Any]:
            async def crowd() -> list[Any]:
                return await asyncio.gather(*(source.awaited(1) for _ in range(3)))

            futures = []
            if mixed in {"threads", "both"}:
                futures += [pool.submit(lambda: [source.plain(1)]) for _ in range(3)]
            if mixed in {"loops", "both"}:
                futures += [pool.submit(lambda: asyncio.run(crowd())) for _ in range(2)]
            return futures

        crowd = {"threads": 3, "loops": 6, "both": 9}[mixed]
        with ThreadPoolExecutor(16) as pool:
            futures = start(sources[0], pool)
            until(lambda: joined(here) == crowd, "all have joined here")
            futures += start(sources[1], pool)
            until(lambda: joined(there) == crowd and sent.names.count("acquire") >= 2, "all wait there")
            for source in sources:
                source.let_go.set()
            results = [result for future in futures for result in future.result(30)]
        assert results == [[1]] * (2 * crowd)
        assert [source.loads for source in sources] == [1, 0]
        assert here.stats().fills == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["redis62", "redis7", "cluster"])
def test_a_forked_child_waits_for_the_load_of_its_parent(servers: Servers, namespace: str, name: str) -> None:
    """Two threads of a child born during a load wait for it through Redis, on connections of their own."""
    topology = servers.topology(name)
    with Layer(topology.url, namespace=namespace) as layer, ThreadPoolExecutor(2) as pool:
        source = SharedSource(layer)
        first = pool.submit(source.plain, 1)
        until(lambda: source.loads == 1, "the load runs")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if _waits(layer, source) else 2
            finally:
                os._exit(code)
        listening = lambda: any(node.client.pubsub_channels(f"{namespace}*") for node in topology.nodes)  # noqa: E731
        until(listening, "the child listens")
        source.let_go.set()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert first.result(30) == [1]
        assert source.loads == 1


def _waits(layer: Layer, source: SharedSource) -> bool:
    """Say whether two threads of a child get their parent's value without loading."""
    source.let_go = threading.Event()  # the parent's is not opened here, so whoever loads does not come back
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(source.plain(1)), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)
    return results == [[1], [1]] and source.loads == 1 and layer.stats().fills == 0
