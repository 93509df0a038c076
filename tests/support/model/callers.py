"""What callers of the cache do: each gets a value by some way, and looks whether it is new enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from holdfast import current_entry
from holdfast.core import many, single
from holdfast.core.batch import Batch, Outcomes
from support.model.actors import current, pause
from support.model.port import WorldPort
from support.model.process import Process
from support.model.promises import Caller
from support.model.scenario import OUTER, TAG, Refused

if TYPE_CHECKING:
    from support.model.play import Play


class SourceDown(Exception):  # noqa: N818 - what happened
    """The loader fails."""


async def load(play: Play) -> int:
    """Load, under the leases that the actor was granted for it."""
    tokens, current[0].granted = current[0].granted, []
    running = play.world.ledger.running
    running.update(tokens)
    try:
        return await _read(play)
    finally:
        running.difference_update(tokens)


async def _read(play: Play) -> int:
    """Read the source at some moment; a stubborn loader goes on when it is cancelled.

    Returns:
        The version, and which load it was, as one number.
    """
    actor, chance, scenario = current[0], play.chance, play.scenario
    number = play.promises.loading(actor.home, leased=actor.leased)
    stubborn = chance.random() < 0.5
    if chance.random() < scenario.slow:
        actor.rank = chance.random() ** 4
    if scenario.tags == "entry":
        current_entry().tags = [TAG]
    if chance.random() < 0.5:
        await pause()
    version = play.promises.version
    play.world.say("    LOADED", version)
    play.let_in(play.patient, 0.5)
    if chance.random() < scenario.failing:
        if chance.random() < scenario.refusing:
            raise Refused(str(version * 1000 + number))
        raise SourceDown
    try:
        await pause()
    except asyncio.CancelledError:
        if not stubborn:
            raise
        await pause()
    return version * 1000 + number


async def fetch(play: Play, process: Process, port: WorldPort) -> None:
    """Call a cached function."""
    await _called(play, process, lambda: process.caching.fetch(port, process.plan, play.key, play.load, play.tags))


async def nested(play: Play, process: Process, port: WorldPort) -> None:
    """Call a cached function that calls another one."""
    caching, plan = process.caching, process.plan

    async def outer() -> int:
        await pause()
        value: int = (await caching.fetch(port, plan, play.key, play.load))[0]
        await pause()
        return value

    await _called(play, process, lambda: caching.fetch(port, plan, OUTER, outer))


async def refresh(play: Play, process: Process, port: WorldPort) -> None:
    """Have a value loaded anew. If it is stored, later callers get nothing older than what was there at the call."""
    called, caching, plan = play.promises.calling(), process.caching, process.plan
    raw = await _called(play, process, lambda: caching.refresh(port, plan, play.key, play.load, play.tags))
    if raw is not None:
        play.promise(process, called, news=b"done")


async def fetch_many(play: Play, process: Process, port: WorldPort) -> None:
    """Call a cached function of many ids."""
    await _called_many(play, process.batches.fetch, process, port)


async def refresh_many(play: Play, process: Process, port: WorldPort) -> None:
    """Have many values loaded anew."""
    called = play.promises.calling()
    outcomes = await _called_many(play, process.batches.refresh, process, port)
    if all(raw is not None for _, _, raw in outcomes.values()):
        play.promise(process, called, news=b"done")


async def _called_many(play: Play, verb: Any, process: Process, port: WorldPort) -> Outcomes:
    async def load_many(ids: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(ids, await play.load())

    caller = play.promises.begin(process)
    ids = {play.key: "k", OUTER: "o"}
    tags = dict.fromkeys(ids, play.tags) if play.tags else {}
    outcomes: Outcomes = await verb(port, Batch(process.plan, load_many, ids, tags, "load_many"))
    for key in ids if "invalidate" not in play.scenario.changes else (play.key,):
        value, status, _ = outcomes[key]
        play.promises.check(caller, value, status)
    play.let_in(play.patient, 0.7)
    return outcomes


async def _called(play: Play, process: Process, call: Callable[[], Coroutine[Any, Any, Any]]) -> bytes | None:
    caller = play.promises.begin(process)
    try:
        value, status, raw = await call()
    except Refused as error:
        _refused(play, caller, error)
        return None
    play.promises.check(caller, value, status)
    play.let_in(play.patient, 0.7)
    entry: bytes | None = raw
    return entry


def _refused(play: Play, caller: Caller, error: Refused) -> None:
    play.promises.check(caller, int(error.args[0]), "error")


async def read(play: Play, process: Process, port: WorldPort) -> None:
    """Look whether there is a value."""
    caller = play.promises.begin(process)
    try:
        outcome, _ = await process.caching.find(port, process.plan, play.key, play.tags)
    except Refused as error:
        _refused(play, caller, error)
        return
    if outcome is not None:
        play.promises.check(caller, outcome[0], outcome[1])


async def read_many(play: Play, process: Process, port: WorldPort) -> None:
    """Look whether there are values, knowing only their names."""
    caller = play.promises.begin(process)
    found = await many.read_many(process.caching, port, play.scenario.bare_plan(), [play.key, OUTER])
    if play.key in found:
        play.promises.check(caller, found[play.key], "hit")


async def info(play: Play, process: Process, port: WorldPort) -> None:
    """Have an entry described."""
    caller = play.promises.begin(process)
    found = await single.info(process.caching, port, process.plan, play.key, play.tags)
    if found is not None:
        play.promises.check_described(caller, found.created)
