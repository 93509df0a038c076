"""What is done with locks while the test of costs counts what that sends: two layers, as two processes have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final


async def _use(bench: Any, lock: Any) -> None:
    async def take_and_leave() -> None:
        async with bench.colour.using(lock):
            pass

    await bench.measure(take_and_leave)


async def _be_refused(bench: Any) -> None:
    async with bench.colour.using(bench.other.lock("product:7")):
        lock = bench.layer.locked("product:7", wait=0, on_busy="skip")

        async def work() -> None:
            raise AssertionError

        await bench.measure(bench.call_without(lock(bench.colour.function(work))))


async def _wait(bench: Any, **options: Any) -> None:
    """Let another hold it until we listen and have looked again."""
    lock = bench.layer.lock("product:7", **options)
    held = await bench.colour.of(bench.other.lock("product:7", **options)).acquire()
    take = "take_fair" if options else "take"

    async def take_and_leave() -> None:
        async with bench.colour.using(lock):
            pass

    async def let_go() -> None:
        await bench.colour.until(lambda: bench.sent[0].names.count(take) == 3, "it listens, and has looked again")
        await bench.colour.of(held).release()

    await bench.measure(lambda: bench.colour.together(take_and_leave, let_go))


async def _hold_on(bench: Any) -> None:
    async def outlast() -> None:
        async with bench.colour.using(bench.layer.lock("product:7", lease=3)):
            await bench.colour.until(lambda: "keep" in bench.sent[0].names, "it is renewed")

    await bench.measure(outlast)


async def _extend(bench: Any) -> None:
    async with bench.colour.using(bench.layer.lock("product:7")) as held:
        await bench.measure(bench.colour.of(held).extend())


async def _check(bench: Any) -> None:
    async with bench.colour.using(bench.layer.lock("product:7")) as held:

        async def look() -> None:
            held.check()
            assert not held.lost
            assert held.remaining

        await bench.measure(look)


LOCKS: Final[dict[str, Callable[[Any], Awaitable[Any]]]] = {
    "`lock`, taken and given back": lambda bench: _use(bench, bench.layer.lock("product:7")),
    "`lock`, held by others, with `wait=0`": _be_refused,
    "`lock`, waited for, and given back": _wait,
    "`lock`, held for longer than a third of its lease": _hold_on,
    "`lock.locked`": lambda bench: bench.measure(bench.colour.of(bench.layer.lock("product:7")).locked()),
    "`held.extend`": _extend,
    "`held.check`, `held.lost`, `held.remaining`": _check,
    "`lock`, with `fair`": lambda bench: _use(bench, bench.layer.lock("product:7", fair=True)),
    "`lock`, with `fair`, waited for, and given back": lambda bench: _wait(bench, fair=True),
    "`semaphore`": lambda bench: _use(bench, bench.layer.semaphore("product:7", 2)),
    "`read_write_lock`": lambda bench: _use(bench, bench.layer.read_write_lock("product:7").read()),
    "`multi_lock` of two": lambda bench: _use(bench, bench.layer.multi_lock(["product:7", "product:8"])),
}
"""By what the page calls it."""
