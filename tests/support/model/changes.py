"""What those do who change the source, and then the entries."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from holdfast.core import changing
from support.model.actors import pause
from support.model.port import WorldPort
from support.model.process import Process
from support.model.scenario import OUTER, TAG, TTL

if TYPE_CHECKING:
    from support.model.play import Play


async def commit(play: Play, process: Process, port: WorldPort) -> None:
    """Change the source, and tell nobody."""
    play.promises.commit()


async def invalidate(play: Play, process: Process, port: WorldPort) -> None:
    """Invalidate the entry."""
    await _changed(play, process, lambda: changing.remove(process.caching, port, process.plan, [play.key]))


async def delete(play: Play, process: Process, port: WorldPort) -> None:
    """Invalidate the entry, and then the one that is made of it."""
    await _changed(play, process, lambda: changing.remove(process.caching, port, process.plan, [play.key, OUTER]))


async def hard(play: Play, process: Process, port: WorldPort) -> None:
    """Invalidate the tag."""
    await _tagged(play, process, port, soft=False)


async def soft(play: Play, process: Process, port: WorldPort) -> None:
    """Make stale what has the tag."""
    await _tagged(play, process, port, soft=True)


async def _tagged(play: Play, process: Process, port: WorldPort, *, soft: bool) -> None:
    def work() -> Coroutine[Any, Any, None]:
        return changing.invalidate_tags(process.caching, port, process.plan, [TAG], soft=soft)

    await _changed(play, process, work, soft=soft)


async def _changed(
    play: Play, process: Process, change: Callable[[], Coroutine[Any, Any, Any]], *, soft: bool = False
) -> None:
    play.promises.commit()
    if play.chance.random() < 0.5:
        await pause()
    called = play.promises.calling()
    await change()
    play.promise(process, called, soft=soft)


async def expire(play: Play, process: Process, port: WorldPort) -> None:
    """Give the entry another time to live."""
    await changing.expire(process.caching, port, process.plan, play.key, 30)


async def write(play: Play, process: Process, port: WorldPort) -> None:
    """Change the source, and store what it has now. One at a time: of two, either may stay."""
    await _written(
        play,
        process,
        lambda value: changing.write(process.caching, port, process.plan, play.key, value, play.tags),
    )


async def write_many(play: Play, process: Process, port: WorldPort) -> None:
    """Do the same to two entries."""

    def work(value: int) -> Coroutine[Any, Any, None]:
        values = {play.key: value, OUTER: value}
        return changing.write_many(process.caching, port, process.plan, values, TTL, play.tags)

    await _written(play, process, work)


async def _written(play: Play, process: Process, write: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    number = play.promises.loading(process, leased=True)
    play.promises.commit()
    called = play.promises.calling()
    await pause()
    await write(called[0] * 1000 + number)
    play.promise(process, called)
