"""Two processes with the same locks, and cases that run once for each place where a task waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from holdfast import Layer, LockNotAcquired
from holdfast.locks import Lock, MultiLock
from support.calls import teach
from support.flights import reached
from support.lock_cancelling import Run, claims_of, each_wait, is_left_alone
from support.peeking import ask
from support.topologies import Servers

PLACES: Final = ("memory", "server")
SOON: Final = 5.0
"""Seconds after which nothing is left, even on a machine under load; leases are much longer."""
Make = Callable[..., Any]
KINDS: Final[dict[str, Make]] = {
    "plain": lambda layer, name, **options: layer.lock(name, **options),
    "fair": lambda layer, name, **options: layer.lock(name, fair=True, **options),
    "permit": lambda layer, name, **options: layer.semaphore(name, 1, **options),
    "reader": lambda layer, name, **options: layer.read_write_lock(name).read(**options),
    "writer": lambda layer, name, **options: layer.read_write_lock(name).write(**options),
    "several": lambda layer, name, **options: layer.multi_lock([name, f"{name}2"], **options),
}


class Bench:
    """Two processes with the same locks: whose callers are cancelled, and another one."""

    def __init__(self, kind: str, here: Layer, there: Layer) -> None:
        self.kind = kind
        self.here = here
        self.there = there
        self._number = 0

    def locks(self, **options: Any) -> tuple[Any, Any]:
        """Return a new lock as both see it; the other one has it alone."""
        self._number += 1
        name = f"{self.kind}{self._number}"
        other = "writer" if self.kind == "reader" else self.kind
        return KINDS[self.kind](self.here, name, **options), KINDS[other](self.there, name, **options)

    async def see(self, run: Run, task: asyncio.Task[Any], lock: Lock | MultiLock) -> Run:
        """See that a run ended as it has to, and that it left nothing."""
        if run.accepted:
            assert task.cancelled(), f"swallowed: {task.exception()!r}"
            assert task.cancelling() == 1
        else:
            assert not task.cancelled()
            with suppress(LockNotAcquired):
                task.result()
        began = time.monotonic()
        await is_left_alone(self.there, lock)
        assert time.monotonic() - began < SOON
        assert not self.here.engine.locks.lobbies._lobbies
        return run


@asynccontextmanager
async def benched(kind: str, url: str, namespace: str, there: str = "") -> AsyncIterator[Bench]:
    async with Layer(url, namespace=namespace) as one, Layer(there or url, namespace=namespace) as two:
        await one.lock("open the connection").alocked()
        yield Bench(kind, one, two)


def url_of(place: str, servers: Servers, namespace: str) -> str:
    """Return a place to work in whose server knows all scripts."""
    if place == "memory":
        return f"memory://{namespace}"
    server = servers.standalone()
    teach([server])
    return server.url


def see_each_wait(
    kind: str, url: str, namespace: str, case: Callable[[Bench, int, int], Awaitable[Run]], there: str = ""
) -> int:
    """Run a case for each wait; return how many there are."""

    async def scenario() -> int:
        async with benched(kind, url, namespace, there) as bench:
            waits = await each_wait(lambda wait, steps: case(bench, wait, steps))
            if not url.startswith("memory:"):
                await reached(lambda: not lasting(bench.there))
            return waits

    return asyncio.run(scenario())


def lasting(layer: Layer) -> list[bytes]:
    """Return all keys of a namespace that live for more than a second, except those of fencing tokens."""
    pattern, found = f"{layer.engine.namespace}:*", list[bytes]()
    cursor, keys = ask(layer, "SCAN", "0", "MATCH", pattern, "COUNT", 10_000, key=pattern)
    found += keys
    while cursor != b"0":
        cursor, keys = ask(layer, "SCAN", cursor, "MATCH", pattern, "COUNT", 10_000, key=pattern)
        found += keys
    held = [key for key in found if not key.endswith(b":fence")]
    return [key for key in held if ask(layer, "PTTL", key, key=key.decode()) not in range(-2, 1001)]


def hears(layer: Layer, lock: Any) -> bool:
    """Say whether callers of a layer wait for a lock, and hear of its end."""
    lobbies = [layer.engine.locks.lobbies.find(claim.places.news) for claim in claims_of(lock)]
    return any(lobby is not None and lobby.hears for lobby in lobbies)


def seats_of(layer: Layer, lock: Lock) -> int:
    """Return how many callers of a layer wait for a plain lock."""
    lobby = layer.engine.locks.lobbies.find(claims_of(lock)[0].places.news)
    return 0 if lobby is None else len(lobby._seats)
