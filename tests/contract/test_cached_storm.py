"""Readers and changers in threads, tasks and blocking calls on a loop, all at once, on real connections."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any

from holdfast import Layer, entries
from support.topologies import Topology

SECONDS = 0.6


class Storm:
    """One entry, its source, and what later callers must see."""

    def __init__(self, layer: Layer) -> None:
        self.lock = threading.Lock()
        self.version = 0
        self.floor = 0
        self.calls = 0
        self.changes = 0
        self.wrong: list[str] = []
        self.ends = time.monotonic() + SECONDS

        @layer.cached(60, key="storm:{number}")
        def plain(number: int) -> int:
            version = self.version
            time.sleep(random.random() * 0.002)
            return version

        @layer.cached(60, key="storm:{number}")
        async def awaited(number: int) -> int:
            version = self.version
            await asyncio.sleep(random.random() * 0.002)
            return version

        self.plain, self.awaited = plain, awaited

    def over(self) -> bool:
        return time.monotonic() > self.ends

    def check(self, what: str, need: int, got: Any) -> None:
        self.calls += 1
        if got < need:
            self.wrong.append(f"{what} got {got}, needed {need}")

    def commit(self) -> int:
        with self.lock:
            self.version += 1
            return self.version

    def done(self, version: int) -> None:
        with self.lock:
            self.changes += 1
            self.floor = max(self.floor, version)

    def read_in_thread(self) -> None:
        while not self.over():
            need = self.floor
            self.check("thread", need, self.plain(1))

    def change_in_thread(self) -> None:
        while not self.over():
            version = self.commit()
            entries(self.plain).invalidate(1)
            self.done(version)
            time.sleep(random.random() * 0.01)

    async def read_in_task(self) -> None:
        while not self.over():
            need = self.floor
            self.check("task", need, await self.awaited(1))
            await asyncio.sleep(0)

    async def change_in_task(self) -> None:
        while not self.over():
            version = self.commit()
            await entries(self.awaited).ainvalidate(1)
            self.done(version)
            await asyncio.sleep(random.random() * 0.01)

    async def block_the_loop(self) -> None:
        while not self.over():
            version = self.commit()
            entries(self.awaited).invalidate(1)
            self.done(version)
            need = self.floor
            self.check("blocking call", need, self.plain(1))
            await asyncio.sleep(random.random() * 0.01)

    async def loop(self) -> None:
        readers = [self.read_in_task() for _ in range(5)]
        await asyncio.gather(*readers, self.change_in_task(), self.block_the_loop())


def test_no_later_caller_sees_an_older_value(server_topology: Topology, namespace: str) -> None:
    """However threads and two loops mix: who calls after an invalidation returned gets what came after it."""
    with Layer(server_topology.url, namespace=namespace) as layer:
        storm = Storm(layer)
        workers = [threading.Thread(target=storm.read_in_thread) for _ in range(3)]
        workers.append(threading.Thread(target=storm.change_in_thread))
        workers += [threading.Thread(target=lambda: asyncio.run(storm.loop())) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert not any(worker.is_alive() for worker in workers)
        assert storm.wrong == []
        assert storm.calls > 50
        assert storm.changes > 20
        assert layer.stats().fills > 5
        flights = layer.engine.caching.flights
        assert not any([flights._open, flights.orphans, flights._blocked])
