"""Promises of concurrency limits to processes that die, freeze and lose Redis: never too many, and no slot lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from faults.limit_crowds import LONG, crowd
from faults.programs import begun
from holdfast import Layer, RateLimited
from support.colours import Colour
from support.programs import oldest
from support.standalone import Standalone
from support.waiting import until

LEASE: Final = 0.9
HOLDER: Final = """
from holdfast import Layer
lease, is_async, limit = float(sys.argv[2]), sys.argv[3] == "async", int(sys.argv[4])
layer = Layer(url)
limit = layer.limiter.concurrency(limit, "k", lease=lease, budget=20)

def tell(word):
    print(word, flush=True)

async def hold():
    async with layer:
        async with limit as slot:
            tell("held")
            while not slot.lost:
                await asyncio.sleep(0.01)
            tell("lost")
    tell("left")

if is_async:
    asyncio.run(hold())
else:
    with layer, limit as slot:
        tell("held")
        while not slot.lost:
            time.sleep(0.01)
        tell("lost")
    tell("left")
"""


@contextmanager
def holder(server: Standalone, colour: Colour, limit: int = 1) -> Iterator[subprocess.Popen[str]]:
    """Give a process that holds one of the slots, and goes on doing so until it learns that it has lost it."""
    process = begun(HOLDER, server.url, str(LEASE), colour.name, str(limit))
    try:
        assert said(process) == "held"
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """Return the next word that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def lease_end(server: Standalone) -> float:
    """Return when the first lease runs out, by the server's clock."""
    (key,) = server.client.scan_iter()
    (first,) = server.client.zrange(key, 0, 0, withscores=True)
    return float(first[1]) / 1000


def now(server: Standalone) -> float:
    """Return the server's time."""
    seconds, micros = server.client.time()
    return float(seconds) + float(micros) / 1e6


def is_free(layer: Layer, limit: int = 1) -> bool:
    """Say whether a slot of the key can be had, by having it for a moment."""
    try:
        with layer.limiter.concurrency(limit, "k", budget=20) as slot:
            assert not slot.decision.degraded
            return True
    except RateLimited:
        return False


def test_a_holder_that_is_killed(colour: Colour) -> None:
    """Its slot comes back when its lease has run out, and not before; that of another holder stays."""
    with Standalone(oldest()) as server, Layer(server.url) as layer, holder(server, colour, limit=2) as process:
        time.sleep(LEASE / 2)
        process.kill()
        process.wait()
        end = lease_end(server)
        assert now(server) < end, "it has been renewed"
        with layer.limiter.concurrency(2, "k", lease=60, budget=20):
            until(lambda: is_free(layer, 2), "the slot is free")
            assert end <= now(server) < end + 1
            assert not is_free(layer)


def test_a_holder_that_is_frozen(colour: Colour) -> None:
    """Past its lease another gets the slot, and keeps it; the first learns that it has lost it when it goes on."""
    with Standalone(oldest()) as server, Layer(server.url) as layer, holder(server, colour) as process:
        os.kill(process.pid, signal.SIGSTOP)
        end = lease_end(server)
        until(lambda: now(server) > end, "the lease has run out")
        with layer.limiter.concurrency(1, "k", budget=20) as slot:
            assert not slot.decision.degraded
            os.kill(process.pid, signal.SIGCONT)
            assert said(process) == "lost"
            assert said(process) == "left"
            assert not is_free(layer), "who has lost it does not give back what is another's"
            assert not slot.lost
        assert is_free(layer)
        assert process.wait(20) == 0


CROWD: Final = """
# Who is inside counts himself, on the server of the limit but without it.
import random
def work(number):
    layer, seen, until = Layer(url, namespace=NAMESPACE), [], time.monotonic() + given["seconds"]
    limit = layer.limiter.concurrency(given["limit"], "k", budget=50, lease=20)
    inside, leave = (Command((verb, "inside"), ("inside",)) for verb in ("INCR", "DECR"))
    b = Backend(url, print)
    async def tasks():
        async def task():
            while time.monotonic() < until:
                try:
                    async with limit as slot:
                        assert not slot.decision.degraded
                        seen.append(await b.asyncio.call(inside))
                        await asyncio.sleep(random.random() / 500)
                        await b.asyncio.call(leave)
                except RateLimited:
                    await asyncio.sleep(random.random() / 200)
        async with layer:
            await asyncio.gather(task(), task(), task())
        await b.aclose()
    def thread():
        while time.monotonic() < until:
            try:
                with limit as slot:
                    assert not slot.decision.degraded
                    seen.append(b.blocking.call_now(inside))
                    time.sleep(random.random() / 500)
                    b.blocking.call_now(leave)
            except RateLimited:
                time.sleep(random.random() / 200)
    if number % 2:
        asyncio.run(tasks())
    else:
        threads = [threading.Thread(target=thread) for _ in range(2)]
        [each.start() for each in threads]
        [each.join() for each in threads]
        layer.close()
        b.close()
    return [max(seen, default=0), len(seen)]
print(json.dumps(crowd(8, work)))
"""


def test_many_processes_hold_no_more_than_there_are() -> None:
    """Processes of both colours that come and go: at no instant are more inside than the limit, and at some so many."""
    with Standalone(oldest()) as server:
        most, times = zip(*crowd(CROWD, server.url, limit=3, seconds=5.0 if LONG else 0.6), strict=True)
        print(f"\n{sum(times)} times inside, by process {times}; at most {max(most)} at once")
        assert max(most) == 3
        assert int(server.client.get("inside") or 0) == 0
        server.client.delete("inside")
        assert not list(server.client.scan_iter()), "all slots were given back"


def test_a_server_that_starts_again_empty(colour: Colour) -> None:
    """Who held a slot learns with the next renewal that it is lost; nobody is kept out by what was before."""
    with Standalone(oldest()) as server, Layer(server.url) as layer, holder(server, colour) as process:
        server.restart()
        assert said(process) == "lost"
        assert said(process) == "left"
        assert process.wait(20) == 0
        until(lambda: is_free_at_last(layer), "the slot is free")


def is_free_at_last(layer: Layer) -> bool:
    """Say whether a slot can be had, if Redis can be asked."""
    with layer.limiter.concurrency(1, "k", budget=20) as slot:
        return not slot.decision.degraded
