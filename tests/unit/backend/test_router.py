"""Promises of the ports about slots, and about the one deadline that a call has, whatever becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hiredis import ReplyError
from redis.cluster import key_slot  # type: ignore[attr-defined, unused-ignore]

from holdfast.backend.backend import Backend
from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken
from holdfast.backend.ports import AsyncioPort
from holdfast.backend.router import Direct
from holdfast.commands import Command, Reply, get
from support.backends import opened
from support.colours import Colour

KEYS = ["a", "b", "{tag}:1", "{tag}:2"]


@pytest.fixture(params=["memory://", "redis://h:1", "redis+sentinel://h:1/s", "redis+cluster://h:1"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    backend = Backend(request.param, print)
    yield backend
    backend.close()


def test_keys_of_one_slot_have_one_number(backend: Backend) -> None:
    """On a cluster each key has the slot that Redis gives it; elsewhere all keys may be together."""
    wanted = [key_slot(key.encode()) if backend.topology.kind == "cluster" else 0 for key in KEYS]
    for port in (backend.blocking, backend.asyncio):
        assert list(port.slots(KEYS)) == wanted
        assert list(port.slots([])) == []


def test_the_embedded_server_answers_the_least_patient(colour: Colour) -> None:
    """It answers at once: no patience is too short for it."""

    async def scenario() -> None:
        async with opened(colour, "memory://") as it:
            hurried = get("k")._replace(patience=1e-9)
            assert await it.port.call(hurried) is None
            assert await it.port.pipeline([hurried, get("k")]) == [None, None]

    colour.run(scenario)


class Remembered(Direct):
    """A router that does nothing but note the deadlines."""

    def __init__(self, first: object) -> None:
        self.first = first
        self.deadlines: list[Deadline | None] = []

    def begin(self, command: Command, deadline: Deadline | None) -> asyncio.Future[Reply] | None:
        self.deadlines.append(deadline)
        if self.first is None:
            return None
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if isinstance(self.first, WireBroken):
            future.set_exception(self.first)
        else:
            future.set_result(self.first)
        return future

    async def call(self, command: Command, first: Any = None, deadline: Deadline | None = None) -> Reply:
        assert first is self.first
        self.deadlines.append(deadline)
        return b"mended"


@pytest.mark.parametrize("first", [None, WireBroken("lost", sent=False), ReplyError("NOSCRIPT No")])
@pytest.mark.parametrize("patience", [None, 5])
def test_what_begins_the_short_way_goes_on_with_its_deadline(first: object, patience: float | None) -> None:
    """Whatever came of the short way, the common way has only the time that is left; no patience, no deadline."""
    router = Remembered(first)
    unused: Any = None
    port = AsyncioPort(router, unused, unused)
    assert asyncio.run(port.call(get("k")._replace(patience=patience))) == b"mended"
    begun, gone_on = router.deadlines
    assert begun is gone_on
    assert (begun is None) == (patience is None)
