"""Promises about fork, as `gunicorn --preload` does it: the child has connections of its own, the parent keeps its."""

from __future__ import annotations

import pytest

from faults.programs import run
from support.topologies import Servers

KINDS = ["redis62", "redis7", "cluster", "sentinel", "memory"]

IN_CHILD = """
    def child(work):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work()
                gc.collect()
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        return pid

    def good(pid):
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


@pytest.mark.parametrize("kind", KINDS)
def test_sync_use_before_and_after(kind: str, servers: Servers) -> None:
    """Parent and several children, which fork again, use what was set up before; nobody reads another's replies."""
    program = f"""{IN_CHILD}
    b = Backend(url, print)
    mine = "parent"

    def use(name, times=100):
        key = f"{{os.getpid()}}:{{name}}"
        b.blocking.call_now(put(key, key.encode(), 60))
        for _ in range(times):
            assert b.blocking.call_now(get(key)) == key.encode()

    def work():
        use("child")
        grandchild = child(lambda: use("grandchild"))
        use("child again")
        good(grandchild)

    use("before")
    pids = [child(work) for _ in range(3)]
    use("parent", 300)
    for pid in pids:
        good(pid)
    use("after")
    """
    assert run(program, servers.topology(kind).url) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_fork_in_the_middle_of_other_threads_work(kind: str, servers: Servers) -> None:
    """Threads hold wires and locks at the time of the fork: the child does not hang, the parent is not disturbed."""
    program = f"""{IN_CHILD}
    b = Backend(url + ("&" if "?" in url else "?") + "max_connections=3" if "memory" not in url else url, print)
    stop = threading.Event()

    def hammer(number):
        key = f"{{os.getpid()}}:{{number}}"
        b.blocking.call_now(put(key, key.encode(), 60))
        while not stop.is_set():
            assert b.blocking.call_now(get(key)) == key.encode()

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(6)]
    [thread.start() for thread in threads]
    time.sleep(0.05)

    def work():
        b.blocking.call_now(put("in child", b"v", 60))
        assert b.blocking.call_now(get("in child")) == b"v"
        asyncio.run(b.asyncio.call(get("in child")))

    for _ in range(5):
        good(child(work))
    stop.set()
    [thread.join() for thread in threads]
    """
    assert run(program, servers.topology(kind).url) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_fork_out_of_a_running_loop(kind: str, servers: Servers) -> None:
    """A child forked from a coroutine runs a loop of its own; the parent's loop goes on with its connection."""
    program = f"""{IN_CHILD}
    b = Backend(url, print)

    async def use(name, times=50):
        key = f"{{os.getpid()}}:{{name}}"
        await b.asyncio.call(put(key, key.encode(), 60))
        for _ in range(times):
            assert await b.asyncio.call(get(key)) == key.encode()

    async def main():
        await use("before")
        under_way = [asyncio.ensure_future(use(f"task {{number}}")) for number in range(5)]
        await asyncio.sleep(0)
        pids = [child(lambda: asyncio.run(use("child"))) for _ in range(3)]
        await asyncio.gather(*under_way)
        await use("parent")
        for pid in pids:
            await asyncio.to_thread(good, pid)
        await use("after")
        await b.aclose()

    asyncio.run(main())
    """
    assert run(program, servers.topology(kind).url) == ""


@pytest.mark.parametrize("kind", ["redis62", "cluster"])
def test_multiprocessing(kind: str, servers: Servers) -> None:
    """A pool of forked workers uses a backend that was used before, also after the parent closed its own."""
    program = """
    import multiprocessing
    b = Backend(url, print)
    b.blocking.call_now(put("shared", b"v", 60))
    asyncio.run(b.asyncio.call(get("shared")))

    def work(number):
        assert b.blocking.call_now(get("shared")) == b"v"
        assert asyncio.run(b.asyncio.call(get("shared"))) == b"v"
        return number

    with multiprocessing.get_context("fork").Pool(3) as workers:
        assert workers.map(work, range(20)) == list(range(20))
        b.blocking.call_now(get("shared"))
        workers.close()
        workers.join()
    """
    assert run(program, servers.topology(kind).url) == ""


def test_the_breaker_starts_anew(servers: Servers) -> None:
    """A breaker that was open, with its lock held by another thread, is closed and free in the child."""
    program = f"""{IN_CHILD}
    b = Backend(url, lambda event: None)
    (breaker,) = b._breakers.values()
    breaker.failure(time.monotonic(), weight=9)
    breaker._lock.acquire()
    good(child(lambda: b.blocking.call_now(get("k"))))
    breaker._lock.release()
    """
    assert run(program, servers.topology("redis62").url) == ""
