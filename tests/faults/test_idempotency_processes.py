"""Processes that die, stand still or are cut off while they do what is to be done once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from faults.programs import begun, run
from holdfast import AlreadyRunning, BackendError, Layer
from holdfast.core import leaving
from support.calls import teach
from support.colours import Colour
from support.peeking import ask
from support.programs import newest
from support.proxy import Proxy
from support.standalone import Standalone
from support.topologies import Servers
from support.waiting import until

PROGRAM = """
from holdfast import Layer
kind, namespace = sys.argv[2:4]
layer = Layer(url, namespace=namespace)
layer.add_hook(lambda event: hasattr(event, "reason") and print(type(event).__name__, event.reason, flush=True))

def work(number: int) -> str:
    print("works", flush=True)
    while layer.cache.get("go") is None:
        time.sleep(0.005)
    return "of the first"

async def awork(number: int) -> str:
    print("works", flush=True)
    while await layer.cache.aget("go") is None:
        await asyncio.sleep(0.005)
    return "of the first"

awork.__name__ = awork.__qualname__ = "work"
once = layer.idempotent("work:{number}", lease=0.4)
print(once(work)(1) if kind == "sync" else asyncio.run(once(awork)(1)), flush=True)
"""
PLACES = [(newest().name, "sync"), ("cluster", "async")]


@contextmanager
def owner(url: str, kind: str, namespace: str) -> Iterator[subprocess.Popen[str]]:
    """Give a process that is at work, until it is told to go on."""
    process = begun(PROGRAM, url, kind, namespace)
    try:
        _heard(process, "works")
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def _heard(process: subprocess.Popen[str], *lines: str) -> None:
    """Wait for some lines that a process prints, but for misses of the key that tells it to go on."""
    assert process.stdout is not None
    for line in lines:
        said = "Miss"
        while said.startswith("Miss"):
            said = process.stdout.readline().strip()
        assert said == line


def second(layer: Layer, calls: list[int], **options: Any) -> Any:
    """Return the function of another process."""

    @layer.idempotent("work:{number}", lease=5, **options)
    def work(number: int) -> str:
        calls.append(number)
        return "of the second"

    return work


@pytest.mark.parametrize(("place", "kind"), PLACES)
def test_a_killed_owner_is_taken_over(servers: Servers, namespace: str, place: str, kind: str) -> None:
    """As long as it lives nobody else runs, however long it takes; when it is dead, the next one does."""
    url = servers.topology(place).url
    calls: list[int] = []
    with Layer(url, namespace=namespace) as layer:
        with owner(url, kind, namespace) as process:
            with pytest.raises(AlreadyRunning):
                second(layer, calls, wait=0.6)(1)
            process.send_signal(signal.SIGKILL)
            assert second(layer, calls, wait=30)(1) == "of the second"
        assert second(layer, calls)(1) == "of the second"
    assert calls == [1]


@pytest.mark.parametrize(("place", "kind"), PLACES)
def test_an_owner_that_stands_still_comes_too_late(servers: Servers, namespace: str, place: str, kind: str) -> None:
    """Beyond its lease another runs; its own result is refused then, and it hears of that."""
    url = servers.topology(place).url
    calls: list[int] = []
    with Layer(url, namespace=namespace) as layer, owner(url, kind, namespace) as first:
        first.send_signal(signal.SIGSTOP)
        assert second(layer, calls, wait=30)(1) == "of the second"
        first.send_signal(signal.SIGCONT)
        layer.cache.set("go", 1, 60)
        _heard(first, "ResultUnkept taken", "of the first")
        assert second(layer, calls)(1) == "of the second"
    assert calls == [1]


@pytest.mark.parametrize(("place", "kind"), PLACES)
def test_an_owner_that_stood_still_alone_is_in_time(servers: Servers, namespace: str, place: str, kind: str) -> None:
    """Where nobody has begun since, what it did counts, though its lease had run out."""
    url = servers.topology(place).url
    with Layer(url, namespace=namespace) as layer, owner(url, kind, namespace) as first:
        first.send_signal(signal.SIGSTOP)
        key = layer.engine.caching.names.once("work:1")
        ends = int(ask(layer, "HGET", key, "until", key=key)) / 1000
        until(lambda: layer.engine.blocking.now() > ends + 0.05, "its lease has run out")
        first.send_signal(signal.SIGCONT)
        layer.cache.set("go", 1, 60)
        _heard(first, "of the first")
        assert second(layer, [])(1) == "of the first"


@pytest.fixture
def standalone(servers: Servers) -> Standalone:
    """A server that knows all scripts."""
    server = servers.standalone()
    teach([server])
    return server


@pytest.mark.parametrize("command", ["begin", "finish"])
def test_a_reply_that_is_lost(colour: Colour, standalone: Standalone, namespace: str, command: str) -> None:
    """The command is sent again, by the same token: the function runs once, and its result is kept."""
    calls: list[int] = []

    async def scenario() -> None:
        with Proxy(standalone.address) as proxy:
            async with colour.using(Layer(proxy.url, namespace=namespace)) as layer:

                async def work() -> str:
                    calls.append(1)
                    if command == "finish":
                        proxy.cut_after(0)
                    return "done"

                function = layer.idempotent("work", wait=30)(colour.function(work))
                await colour.of(layer.cache).get("opened")
                if command == "begin":
                    proxy.cut_after(0)
                assert await colour.call(function) == "done"
                assert await colour.call(function) == "done"

    colour.run(scenario)
    assert calls == [1]


def test_replies_that_are_held_back(
    colour: Colour, standalone: Standalone, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not hear whether it has begun raises; soon after Redis answers again the key is free."""
    monkeypatch.setattr(leaving, "_RETRY", 0.02)
    calls: list[int] = []

    async def scenario() -> None:
        with Proxy(standalone.address) as proxy:
            async with colour.using(Layer(f"{proxy.url}?socket_timeout=0.2", namespace=namespace)) as layer:

                async def work() -> str:
                    calls.append(1)
                    return "done"

                function = layer.idempotent("work", wait=0)(colour.function(work))
                await colour.of(layer.cache).get("opened")
                proxy.hold_replies()
                with pytest.raises(BackendError):
                    await colour.call(function)
                proxy.release()
                proxy.restore()
                result = None
                while result is None:
                    try:
                        result = await colour.call(function)
                    except (AlreadyRunning, BackendError):
                        await colour.sleep(0.02)
                assert result == "done"

    colour.run(scenario)
    assert calls == [1]


def test_a_fork_leaves_what_runs_to_the_parent(standalone: Standalone, namespace: str) -> None:
    """The child renews nothing of it, and can do other things once; the parent ends it."""
    program = """
    from holdfast import Layer
    layer = Layer(url, namespace="NAMESPACE")

    @layer.idempotent("work:{number}", lease=0.3)
    def work(number: int) -> str:
        if number == 2:
            return "of the child"
        child = os.fork()
        if child == 0:
            held = layer.engine.idempotency.runs._renewals.of_length(0.3)
            os._exit(0 if not held and work(2) == "of the child" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        time.sleep(0.5)
        return "of the parent"

    print(work(1), work(1), work(2))
    layer.close()
    """
    printed = run(program.replace("NAMESPACE", namespace), standalone.url)
    assert printed == "of the parent of the parent of the child\n"
