"""Promises about endings: a program that forgets to close prints nothing, loops come and go, closing never hangs."""

from __future__ import annotations

import asyncio
import threading

import pytest

from faults.programs import run
from holdfast import commands
from holdfast.backend.backend import Backend
from holdfast.errors import BackendUnavailable
from support.backends import opened
from support.colours import Colour
from support.topologies import Servers, Topology

ASYNC = Colour("async")

PROGRAMS = {
    "sync": "drive(Backend(url, print).blocking.call(put('k', b'v', 60)))",
    "sync, kept in a global": "b = Backend(url, print); b.blocking.call_now(get('k'))",
    "async, closed loop": "b = Backend(url, print); asyncio.run(b.asyncio.call(get('k')))",
    "async, two loops": """
        b = Backend(url, print)
        for _ in range(2):
            asyncio.run(b.asyncio.call(get('k')))
    """,
    "async, forgotten inside the loop": """
        async def main():
            await Backend(url, print).asyncio.call(get('k'))
            gc.collect()
            await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "both colours": """
        b = Backend(url, print)
        async def main():
            await asyncio.gather(*[b.asyncio.call(get('k')) for _ in range(50)])
            b.blocking.call_now(get('k'))
        asyncio.run(main())
    """,
    "threads": """
        b = Backend(url, print)
        threads = [threading.Thread(target=b.blocking.call_now, args=(get('k'),)) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    """,
    "two loops in two threads": """
        b = Backend(url, print)
        async def main():
            for _ in range(50):
                await b.asyncio.call(get('k'))
        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    """,
    "closed twice": """
        b = Backend(url, print)
        b.blocking.call_now(get('k'))
        async def main():
            await b.asyncio.call(get('k'))
            await b.aclose()
            await b.aclose()
            b.close()
        asyncio.run(main())
        b.close()
        asyncio.run(b.aclose())
    """,
    "closed after the loop": """
        b = Backend(url, print)
        asyncio.run(b.asyncio.call(get('k')))
        b.close()
    """,
    "closed from another thread while a loop runs": """
        b = Backend(url, print)
        async def main():
            await b.asyncio.call(get('k'))
            await asyncio.to_thread(b.close)
            await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "aclose without any use": "asyncio.run(Backend(url, print).aclose())",
    "a task is left waiting when the loop ends": """
        b = Backend(url, print)
        async def main():
            asyncio.ensure_future(b.asyncio.call(Command(('BLPOP', 'nothing', '0'), ('nothing',), blocks=0)))
            await b.asyncio.call(get('k'))
            await asyncio.sleep(0.02)
        asyncio.run(main())
    """,
    "made and dropped many times": """
        for _ in range(20):
            drive(Backend(url, print).blocking.call(get('k')))
            gc.collect()
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("kind", ["redis62", "cluster", "memory"])
def test_a_program_that_forgets_says_nothing(name: str, kind: str, servers: Servers) -> None:
    """However a program ends, with or without closing, nothing is printed and it ends well."""
    assert run(PROGRAMS[name], servers.topology(kind).url) == ""


def test_each_loop_has_its_own_connection(server_topology: Topology, namespace: str) -> None:
    """Loops one after the other and side by side use one backend; each gets its own replies."""
    backend = Backend(server_topology.url, print)

    async def use(name: str) -> bool:
        key = f"{namespace}:{name}"
        await backend.asyncio.call(commands.put(key, name.encode(), 60))
        return all([await backend.asyncio.call(commands.get(key)) == name.encode() for _ in range(30)])

    assert asyncio.run(use("first"))
    assert asyncio.run(use("second"))
    results: list[bool] = []
    threads = [threading.Thread(target=lambda n: results.append(asyncio.run(use(n))), args=(n,)) for n in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    backend.close()
    assert results == [True] * 4


def test_closing_tells_those_who_wait(colour: Colour, servers: Servers) -> None:
    """Callers under way when the backend is closed get their reply or our error, and later callers the error."""

    async def scenario() -> None:
        async with opened(colour, servers.topology("redis62").url) as it:

            async def act() -> list[object]:
                return [await it.outcome("GET", "nothing", repeatable=True) for _ in range(300)]

            async def close() -> None:
                await colour.sleep(0.01)
                if colour.is_async:
                    await it.backend.aclose()
                else:
                    it.backend.close()

            *outcomes, _ = await colour.together(*[act] * 6, close)
            kinds = {type(each) for outcome in outcomes for each in outcome}
            assert kinds <= {type(None), BackendUnavailable}
            assert "the layer is closed" in str(await it.outcome("GET", "k"))
            assert it.events == []

    colour.run(scenario)


def test_close_and_aclose_from_elsewhere(servers: Servers) -> None:
    """A connection of one loop is closed from another loop, and from a thread without one; nobody hangs."""
    for close in (lambda it: asyncio.run(it.backend.aclose()), lambda it: it.backend.close()):

        async def scenario() -> None:
            async with opened(ASYNC, servers.topology("redis62").url) as it:
                await it.call("GET", "k")
                waiting = asyncio.ensure_future(it.outcome("BLPOP", "nothing", "0", blocks=0))
                await asyncio.sleep(0.02)
                await asyncio.to_thread(close, it)  # noqa: B023
                assert type(await waiting) is BackendUnavailable
                assert type(await it.outcome("GET", "k")) is BackendUnavailable

        ASYNC.run(scenario)


def test_sync_calls_inside_a_running_loop(topology: Topology, namespace: str) -> None:
    """Blocking code that is called from a coroutine works, also while asyncio calls are under way."""

    async def scenario() -> None:
        async with opened(ASYNC, topology.url) as it:
            under_way = [asyncio.ensure_future(it.port.call(commands.get(namespace))) for _ in range(10)]
            await asyncio.sleep(0)
            assert it.backend.blocking.call_now(commands.put(namespace, b"v", 60)) == b"OK"
            assert set(await asyncio.gather(*under_way)) <= {None, b"v"}
            assert await it.port.call(commands.get(namespace)) == b"v"

    ASYNC.run(scenario)
