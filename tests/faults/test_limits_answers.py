"""Whatever Redis says instead of an answer: every verb goes on by its policy, tells what is wrong, and recovers."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest
import redis

from holdfast import BackendError, Layer, LimitDecision, RateLimited
from holdfast.core.limit_checks import OnLimitFailure
from holdfast.events import BackendFailed, Event, LimitDegraded
from support.colours import Colour, Verbs
from support.programs import Program, oldest, programs
from support.server import plain_client
from support.standalone import Standalone
from support.waiting import until

QUOTA: Final = "100/day"
LOG: Final = "90/hour; algorithm=sliding_log"
POLICIES: Final[tuple[OnLimitFailure, ...]] = ("open", "closed", "local")
PATIENT: Final = 5
"""Seconds: only what Redis says is to decide here."""


@contextmanager
def read_only(server: Standalone) -> Iterator[None]:
    server.ask("REPLICAOF", "127.0.0.1", 1)
    yield
    server.ask("REPLICAOF", "NO", "ONE")


@contextmanager
def out_of_memory(server: Standalone) -> Iterator[None]:
    server.ask("CONFIG", "SET", "maxmemory", 1)
    yield
    server.ask("CONFIG", "SET", "maxmemory", 0)


@contextmanager
def no_replicas(server: Standalone) -> Iterator[None]:
    server.ask("CONFIG", "SET", "min-replicas-to-write", 1)
    yield
    server.ask("CONFIG", "SET", "min-replicas-to-write", 0)


@contextmanager
def foreign_keys(server: Standalone) -> Iterator[None]:
    server.ask("ACL", "SETUSER", "default", "resetkeys", "~other:*")
    yield
    server.ask("ACL", "SETUSER", "default", "allkeys")


@contextmanager
def no_scripts(server: Standalone) -> Iterator[None]:
    server.ask("ACL", "SETUSER", "default", "-evalsha", "-eval")
    yield
    server.ask("ACL", "SETUSER", "default", "+evalsha", "+eval")


@contextmanager
def no_writes(server: Standalone) -> Iterator[None]:
    """The user may run scripts, but not what is in them."""
    server.ask("ACL", "SETUSER", "default", "-@write")
    yield
    server.ask("ACL", "SETUSER", "default", "+@all")


@contextmanager
def foreign_values(server: Standalone) -> Iterator[None]:
    """Somebody else has put values of his own where the limits are kept."""
    for key in list(server.client.scan_iter()):
        server.client.delete(key)
        server.client.hset(key, "theirs", 1)
    yield
    server.ask("FLUSHALL")


@contextmanager
def a_password(server: Standalone) -> Iterator[None]:
    """The password was changed, and all connections are gone."""
    server.ask("CONFIG", "SET", "requirepass", "secret")
    server.ask("CLIENT", "KILL", "TYPE", "normal")
    yield
    server.ask("CONFIG", "SET", "requirepass", "")


@contextmanager
def too_many_clients(server: Standalone) -> Iterator[None]:
    server.ask("CONFIG", "SET", "maxclients", 1)
    server.ask("CLIENT", "KILL", "TYPE", "normal")
    yield
    server.ask("CONFIG", "SET", "maxclients", 1000)


@contextmanager
def a_busy_script(server: Standalone) -> Iterator[None]:
    """Somebody's script does not end."""
    server.ask("CONFIG", "SET", "lua-time-limit", 5)
    client = plain_client(server.url)

    def run() -> None:
        with suppress(redis.ResponseError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: _is_busy(server), "the script is too slow")
    yield
    server.ask("SCRIPT", "KILL")
    thread.join()
    client.close()


def _is_busy(server: Standalone) -> bool:
    try:
        server.client.ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


FAULTS: Final[dict[str, tuple[Callable[[Standalone], Any], str]]] = {
    "a replica": (read_only, "READONLY"),
    "no memory": (out_of_memory, "OOM"),
    "no replicas": (no_replicas, "NOREPLICAS"),
    "keys of others": (foreign_keys, "NOPERM"),
    "no scripts": (no_scripts, "NOPERM"),
    "no writes": (no_writes, "NOPERM|the script failed"),
    "values of others": (foreign_values, "WRONGTYPE"),
    "a password": (a_password, "password"),
    "too many clients": (too_many_clients, "clients|cannot be reached|closed the connection"),
    "a busy script": (a_busy_script, "BUSY"),
}
"""What happens to the server, and what the error says of it."""


async def ask_all(colour: Colour, layer: Layer, policy: OnLimitFailure) -> dict[str, LimitDecision]:
    """Use every verb that admits under a policy, and return what each decides."""
    limiter = colour.of(layer.limiter)
    options: dict[str, Any] = {"on_failure": policy, "budget": PATIENT}
    found = {
        "hit": await limiter.hit(QUOTA, "k", **options),
        "hit_all": await limiter.hit_all([(QUOTA, "k"), (LOG, "k")], **options),
    }
    try:
        found["throttle"] = await limiter.throttle(QUOTA, "k", max_wait=1, **options)
    except RateLimited as error:
        found["throttle"] = error.decision
    try:
        async with colour.using(layer.limiter.concurrency(5, "k", **options)) as slot:
            found["concurrency"] = slot.decision
    except RateLimited as error:
        found["concurrency"] = error.decision
    return found


async def recovers(colour: Colour, layer: Layer) -> None:
    """Ask until Redis decides again; nothing but a moment is needed."""
    began = time.monotonic()
    while any(decision.degraded for decision in (await ask_all(colour, layer, "open")).values()):
        assert time.monotonic() - began < 10
        await colour.sleep(0.02)


CASES: Final = [
    *(pytest.param(oldest(), fault, id=f"{oldest().name}-{fault}") for fault in FAULTS),
    *(
        pytest.param(program, fault, id=f"{program.name}-{fault}")
        for program in programs()[1:]
        for fault in ("a replica", "no memory", "no writes", "values of others")  # they are told in other words there
    ),
]


@pytest.mark.parametrize(("program", "fault"), CASES)
def test_every_verb_goes_on(colour: Colour, program: Program, fault: str) -> None:
    """Each rule decides by its policy; nothing is raised but `RateLimited`; hooks hear why; then all is as before."""
    happens, message = FAULTS[fault]
    events: list[Event] = []

    async def scenario() -> None:
        with Standalone(program) as server:
            async with colour.using(Layer(server.url, hooks=[events.append])) as layer:
                limiter = colour.of(layer.limiter)
                charged = await limiter.hit(QUOTA, "k", cost=50, budget=PATIENT)
                await limiter.hit(LOG, "k", cost=5, budget=PATIENT)
                async with colour.using(layer.limiter.concurrency(5, "k", budget=PATIENT)):
                    with happens(server):
                        await check_policies(colour, layer, events, message)
                        await check_changes(limiter, charged)
                    await recovers(colour, layer)
                assert not (await limiter.settle(charged, 40)).degraded

    colour.run(scenario)


async def check_policies(colour: Colour, layer: Layer, events: list[Event], message: str) -> None:
    """Check what each policy makes of it, and what hooks hear."""
    for policy in POLICIES:
        events.clear()
        said = await ask_all(colour, layer, policy)
        if message == "OOM":  # a script that has removed something may store something
            assert not said.pop("concurrency").degraded
        assert {verb: decision.allowed for verb, decision in said.items()} == dict.fromkeys(said, policy != "closed")
        assert all(decision.degraded for decision in said.values())
        told = [each for each in events if isinstance(each, LimitDegraded)]
        assert [(each.on_failure, each.allowed) for each in told] == [(policy, policy != "closed")] * len(said)
        why = [each.error for each in events if isinstance(each, BackendFailed)]
        assert len(why) >= len(said)
        assert all(re.search(f"{message}|circuit breaker open", each) for each in why), why
        assert any(re.search(message, each) for each in why) or policy != "open", why


async def check_changes(limiter: Verbs, charged: LimitDecision) -> None:
    """Check that looking and changing raise nothing, and say that nothing was changed."""
    assert (await limiter.peek(QUOTA, "k", budget=PATIENT)).allowed
    assert (await limiter.refund(QUOTA, "k", 1)).degraded
    settled = await limiter.settle(charged, 40)
    assert settled.degraded
    assert settled.charge is None  # to try again does nothing
    with suppress(BackendError):  # reset must be told: its caller has to repeat it
        await limiter.reset(QUOTA, "another")
