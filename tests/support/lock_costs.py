"""What is done with locks while the test of costs counts what that sends: two layers, as two processes have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from holdfast.port import Cancel, Listener

Step = Callable[[], Awaitable[Any]]


async def _use(bench: Any, lock: Any) -> None:
    async def take_and_leave() -> None:
        async with bench.colour.using(lock):
            pass

    await bench.measure(take_and_leave)


async def _while_held(bench: Any, layer: Any, step: Callable[[Any], Step]) -> None:
    """Measure a step while somebody holds the lock, and not what that one does before and after."""
    async with bench.colour.using(layer.lock("product:7")) as held:
        await bench.measure(step(held))
        measured = [list(sent.trips) for sent in bench.sent]
    for sent, trips in zip(bench.sent, measured, strict=True):
        sent.trips[:] = trips


def _be_skipped(bench: Any) -> Step:
    async def work() -> str:
        return "done"

    function = bench.layer.locked("product:7", wait=0, on_busy="skip")(bench.colour.function(work))

    async def skip() -> None:
        assert await bench.colour.call(function) is None

    return skip


def _look(held: Any) -> Step:
    async def look() -> None:
        held.check()
        assert not held.lost
        assert held.remaining

    return look


async def _wait(bench: Any, take: str, **options: Any) -> None:
    """Have another hold the lock until we wait, listen, and have looked again since then."""
    lock, listen = bench.layer.lock("product:7", **options), _listen_when_told(bench)
    held = await bench.colour.of(bench.other.lock("product:7", **options)).acquire()

    async def take_and_leave() -> None:
        async with bench.colour.using(lock):
            pass

    async def let_go() -> None:
        await bench.colour.until(lambda: bench.sent[0].names.count(take) >= 2, "it waits, and has looked")
        listen()
        await bench.colour.until(lambda: bench.sent[0].names.count(take) >= 3, "it listens, and has looked again")
        await bench.colour.of(held).release()

    async def both() -> None:
        assert await bench.colour.together(take_and_leave, let_go) == [None, None]

    await bench.measure(both)


def _listen_when_told(bench: Any) -> Callable[[], None]:
    """Put off the listening of a layer: whether it hears before its first look is chance otherwise."""
    port = bench.layer.engine.asyncio if bench.colour.is_async else bench.layer.engine.blocking
    subscribe, asked, cancels = port.subscribe, list[tuple[str, Listener]](), list[Cancel]()

    def note(topic: str, listener: Listener, *, pattern: bool = False) -> Cancel:
        assert not pattern
        asked.append((topic, listener))
        return cancel

    def cancel() -> None:
        cancels[0]()

    def listen() -> None:
        cancels.append(subscribe(*asked[0]))

    port.subscribe = note
    return listen


async def _hold_on(bench: Any) -> None:
    bench.layer.engine.locks.renewing._port = bench.layer.engine.blocking  # the one that counts

    async def outlast() -> None:
        async with bench.colour.using(bench.layer.lock("product:7", lease=1.5)) as held:
            due = held._hold.renew_at
            await bench.colour.until(lambda: held._hold.renew_at != due, "it is renewed")

    await bench.measure(outlast)


LOCKS: Final[dict[str, Callable[[Any], Awaitable[Any]]]] = {
    "`lock`, taken and given back": lambda bench: _use(bench, bench.layer.lock("product:7")),
    "`lock`, held by others, with `wait=0`": lambda bench: _while_held(
        bench, bench.other, lambda _: _be_skipped(bench)
    ),
    "`lock`, waited for, and given back": lambda bench: _wait(bench, "take"),
    "`lock`, held for longer than a third of its lease": _hold_on,
    "`lock.locked`": lambda bench: bench.measure(bench.colour.of(bench.layer.lock("product:7")).locked()),
    "`held.extend`": lambda bench: _while_held(bench, bench.layer, lambda held: bench.colour.of(held).extend),
    "`held.check`, `held.lost`, `held.remaining`": lambda bench: _while_held(bench, bench.layer, _look),
    "`lock`, with `fair`": lambda bench: _use(bench, bench.layer.lock("product:7", fair=True)),
    "`lock`, with `fair`, waited for, and given back": lambda bench: _wait(bench, "take_fair", fair=True),
    "`semaphore`": lambda bench: _use(bench, bench.layer.semaphore("product:7", 2)),
    "`read_write_lock`": lambda bench: _use(bench, bench.layer.read_write_lock("product:7").read()),
    "`multi_lock` of two": lambda bench: _use(bench, bench.layer.multi_lock(["product:7", "product:8"])),
}
"""By what the page calls it."""
