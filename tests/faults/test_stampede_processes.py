"""One cold key and many processes, threads and tasks that want it: one load, few commands, and no dead end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from faults.programs import begun, ended
from support.calls import teach
from support.programs import Program, oldest
from support.standalone import Standalone
from support.waiting import until

PROGRAM = """
import json, redis
from holdfast import Layer

# What the test counts and waits for is on another server, so that the first one sees the cache only.
other, kind, lease, size = sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5])
control = redis.Redis.from_url(other)
layer = Layer(url, namespace="stampede")

def begin_load():
    control.rpush("loads", os.getpid())
    return int(control.get("hangs") or 0) and control.llen("loads") == 1

@layer.cached(60, key="cold:{number}", lease=lease)
def plain(number: int) -> list[int]:
    if begin_load():
        control.blpop(["never"], 60)
    time.sleep(float(control.get("takes")))
    return [number, os.getpid()]

@layer.cached(60, key="cold:{number}", lease=lease)
async def awaited(number: int) -> list[int]:
    if begin_load():
        await asyncio.sleep(60)
    await asyncio.sleep(float(control.get("takes")))
    return [number, os.getpid()]

def wait_for_all():
    control.rpush("ready", os.getpid())
    control.blpop(["go"], 60)

def threads():
    results, everybody = [], threading.Barrier(size + 1)
    def work():
        layer.cache.get("warm")
        everybody.wait()
        everybody.wait()
        results.append((plain(1), time.monotonic()))
    crowd = [threading.Thread(target=work) for _ in range(size)]
    [each.start() for each in crowd]
    everybody.wait()
    wait_for_all()
    started = time.monotonic()
    everybody.wait()
    [each.join() for each in crowd]
    layer.close()
    return started, results

async def tasks():
    async with layer:
        await layer.cache.aget("warm")
        wait_for_all()
        started = time.monotonic()
        async def work():
            return await awaited(1), time.monotonic()
        return started, await asyncio.gather(*(work() for _ in range(size)))

started, results = threads() if kind == "threads" else asyncio.run(tasks())
print(json.dumps([started, results]))
"""
LOAD_TIME = 0.1


class Crowd:
    """Processes that are ready to call one function, and the servers that they use."""

    def __init__(self, server: Standalone, control: redis.Redis, processes: list[subprocess.Popen[str]]) -> None:
        self.server = server
        self.control = control
        self.processes = processes

    def go(self) -> None:
        """Let all call at once."""
        self.control.rpush("go", *["go"] * len(self.processes))

    @property
    def loaders(self) -> list[int]:
        """The processes that loaded, in order."""
        return [int(pid) for pid in self.control.lrange("loads", 0, -1)]

    def results(self, without: int = 0) -> tuple[float, float, list[Any]]:
        """Wait for the end; return when the first caller started, when the last one returned, and all values."""
        told = [json.loads(ended(each)) for each in self.processes if each.pid != without]
        returned = [pair for _, pairs in told for pair in pairs]
        return min(one[0] for one in told), max(end for _, end in returned), [value for value, _ in returned]


@contextmanager
def crowd(
    program: Program, kinds: list[str], *, size: int = 10, takes: float = LOAD_TIME, lease: float = 30, hangs: int = 0
) -> Iterator[Crowd]:
    with Standalone(program) as server, Standalone(program) as other:
        teach([server])
        control = other.client
        control.mset({"takes": takes, "hangs": hangs})
        words = (server.url, other.url)
        processes = [begun(PROGRAM, *words, kind, str(lease), str(size)) for kind in kinds]
        try:
            until(lambda: control.llen("ready") == len(processes), "all processes are ready")
            yield Crowd(server, control, processes)
        finally:
            for each in processes:
                if each.poll() is None:
                    each.kill()
                each.communicate()


MIXES = [["threads"] * 4, ["tasks"] * 4, ["threads", "tasks"] * 2]


@pytest.mark.parametrize("kinds", MIXES, ids=["threads", "tasks", "mixed"])
def test_one_load_for_all(kinds: list[str], program: Program, record_property: Callable[[str, object], None]) -> None:
    """Four processes with ten callers each: one of them loads once, and few commands tell the others."""
    with crowd(program, kinds) as callers:
        before = Counter(callers.server.commandstats())
        callers.go()
        started, last, values = callers.results()
        after = Counter(callers.server.commandstats())
        (loader,) = callers.loaders
        assert values == [[1, loader]] * 40
        sent = sum((after - before).values())
        record_property("milliseconds until the last caller returned", round((last - started) * 1000))
        record_property("commands", sent)
        print(f"{(last - started) * 1000:.0f} ms, {sent} commands: {dict(after - before)}")
        assert sent < 150
        assert last - started < 2, "0.15 on a quiet machine"


@pytest.mark.parametrize("kinds", MIXES, ids=["threads", "tasks", "mixed"])
def test_a_loader_that_is_killed_is_replaced_once(kinds: list[str]) -> None:
    """Kill -9 of the process that loads: when its lease is over, one other takes over, for all that are left."""
    lease = 1.5
    with crowd(oldest(), kinds, lease=lease, hangs=1, takes=0) as callers:
        callers.go()
        until(lambda: callers.loaders, "somebody loads")
        (killed,) = callers.loaders
        until(lambda: callers.server.commandstats().get("subscribe", 0) >= 3, "the others wait")
        os.kill(killed, signal.SIGKILL)
        died = time.monotonic()
        _, last, values = callers.results(without=killed)
        assert callers.loaders[0] == killed
        (successor,) = callers.loaders[1:]
        assert values == [[1, successor]] * 30
        print(f"{last - died:.2f} s after the death of the loader")
        assert last - died < lease + 1


def test_waiting_costs_few_commands() -> None:
    """While a load takes one second, who waits in other processes sends a handful of commands, however many wait."""
    with crowd(oldest(), ["threads", "tasks"] * 2, takes=1) as callers:
        with callers.server.monitor(containing="stampede") as seen:
            callers.go()
            callers.results()
        assert len(callers.loaders) == 1
        each = Counter(one.client for one in seen.sent)
        print(f"{len(seen.sent)} commands by {len(each)} connections, at most {max(each.values())}")
        asked = [one for one in seen.sent if one.name == "EVALSHA"]
        assert len(asked) <= 4 * 9
        assert max(each.values()) <= 9
