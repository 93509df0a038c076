"""Promises of commands that block on purpose: connections of their own, and nothing taken after the end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from holdfast import commands
from holdfast.commands import Command
from holdfast.errors import BackendUnavailable
from support.backends import opened
from support.colours import Colour
from support.topologies import Topology
from support.waiting import until

SYNC, ASYNC = Colour("sync"), Colour("async")


def pop(key: str, seconds: float) -> Command:
    return Command(("BLPOP", key, str(seconds)), (key,), blocks=seconds)


def push(key: str) -> Command:
    return Command(("LPUSH", key, "x"), (key,))


def test_what_is_there_comes_at_once_and_nothing_comes_in_time(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """A blocking pop takes what is there, and ends empty after its time, short of any time-out of ours."""

    async def scenario() -> None:
        async with opened(colour, f"{topology.url}?socket_timeout=0.5") as it:
            await it.port.call(push(namespace))
            assert await it.port.call(pop(namespace, 5)) == [namespace.encode(), b"x"]
            started = time.monotonic()
            assert await it.port.call(pop(namespace, 0.7)) is None
            assert 0.6 < time.monotonic() - started < 5
            assert await it.port.call(commands.get(namespace)) is None
            assert it.events == []

    colour.run(scenario)


def test_a_blocked_caller_blocks_nobody(colour: Colour, topology: Topology, namespace: str) -> None:
    """While some wait for an element, others use the same backend freely and can be the ones to bring it."""

    async def scenario() -> None:
        async with opened(colour, f"{topology.url}?max_connections=1") as it:

            async def wait() -> object:
                return await it.port.call(pop(namespace, 20))

            async def bring() -> object:
                for _ in range(20):
                    assert await it.port.call(commands.get(f"{namespace}:other")) is None
                return [await it.port.call(push(namespace)) for _ in range(3)]

            *waiters, _ = await colour.together(wait, wait, wait, bring)
            assert waiters == [[namespace.encode(), b"x"]] * 3

    colour.run(scenario)


def test_a_cancelled_pop_takes_nothing(topology: Topology, namespace: str) -> None:
    """After the cancellation an element stays where it is put."""

    async def scenario() -> None:
        async with opened(ASYNC, topology.url) as it:
            for _ in range(3):
                waiting = asyncio.ensure_future(it.port.call(pop(namespace, 0)))
                await asyncio.sleep(0.03)
                waiting.cancel()
                await asyncio.wait([waiting])
            await it.port.call(commands.get(namespace))
            if not topology.is_memory:
                clients = [client for node in topology.nodes for client in node.client.client_list()]
                assert not [client for client in clients if client["cmd"] == "blpop"]
            await it.port.call(push(namespace))
            await asyncio.sleep(0.03)
            assert await it.port.call(Command(("LLEN", namespace), (namespace,), True)) == 1
            await it.port.call(commands.unlink([namespace]))

    ASYNC.run(scenario)


def test_closing_ends_a_blocked_call(colour: Colour, topology: Topology, namespace: str) -> None:
    """A caller that blocks without limit is told when the backend is closed, and does not hang."""

    async def scenario() -> None:
        async with opened(colour, topology.url) as it:

            async def wait() -> object:
                return await it.port.call(pop(namespace, 0))

            async def close() -> None:
                await colour.sleep(0.05)
                if colour.is_async:
                    await it.backend.aclose()
                else:
                    it.backend.close()

            outcome, _ = await colour.together(wait, close)
            assert type(outcome) is BackendUnavailable
            assert "closed" in str(outcome)

    colour.run(scenario)


def test_a_loop_goes_on_while_the_embedded_server_blocks(namespace: str) -> None:
    """On memory:// a blocked call lets the loop of its caller run."""

    async def scenario() -> None:
        async with opened(ASYNC, f"memory://{namespace}") as it:
            waiting = asyncio.ensure_future(it.port.call(pop("k", 20)))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            threading.Thread(target=it.backend.blocking.call_now, args=(push("k"),)).start()
            assert await waiting == [b"k", b"x"]

    ASYNC.run(scenario)


def test_a_blocked_thread_can_be_interrupted(server_topology: Topology, namespace: str) -> None:
    """Closing from another thread frees one that blocks; its connection is gone from the server."""

    async def scenario() -> None:
        async with opened(SYNC, server_topology.url) as it:
            errors: list[BaseException] = []

            def wait() -> None:
                with pytest.raises(BackendUnavailable) as caught:
                    it.backend.blocking.call_now(pop(namespace, 0))
                errors.append(caught.value)

            thread = threading.Thread(target=wait)
            thread.start()
            until(lambda: _blocked(server_topology), "it blocks")
            it.backend.close()
            thread.join(30)
            assert len(errors) == 1
            until(lambda: not _blocked(server_topology), "the server lets go of it")

    SYNC.run(scenario)


def _blocked(topology: Topology) -> int:
    return sum(node.client.info("clients")["blocked_clients"] for node in topology.nodes)
