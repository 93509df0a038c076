"""Promises of `Server`: what is sent again and what never is, what the breaker counts, whose probe it is."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hiredis import ReplyError

from holdfast._calls import drive
from holdfast.backend.breaker import THRESHOLD, Breaker
from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import How, WireBroken
from holdfast.backend.server import Server
from holdfast.commands import Command, Reply, get
from holdfast.events import BreakerClosed, BreakerOpened, Event

INCR = Command(("INCR", "n"), ("n",))
SCRIPT = Command(("EVALSHA", "abc", 1, "n"), ("n",), fallback=("EVAL", "return 1", 1, "n"))


class FakeLink:
    """A link that does what the test has planned, in order, and keeps what it was asked."""

    def __init__(self, *plan: object) -> None:
        self.plan = deque(plan)
        self.asked: list[Any] = []
        self.deadlines: list[Deadline | None] = []
        self.resets = self.turned_away = 0

    def ask_now(self, command: Command, deadline: Deadline | None = None) -> Reply:
        self.asked.append(command.words[0])
        self.deadlines.append(deadline)
        step = self.plan.popleft() if self.plan else b"OK"
        if isinstance(step, BaseException) and not isinstance(step, ReplyError):
            raise step
        return step

    async def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        return self.ask_now(command, deadline)

    async def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
        return [self.ask_now(command, deadline) for command in commands]

    def reset(self) -> None:
        self.resets += 1

    def turn_away(self) -> None:
        self.turned_away += 1

    async def aclose(self) -> None: ...

    def close(self) -> None: ...

    def after_fork(self) -> None: ...


def broken(how: How, *, sent: bool = True, fair: bool = True) -> WireBroken:
    return WireBroken(how, sent=sent, fair=fair)


Ask = Callable[[Server, Command], Reply]
WAYS: dict[str, Ask] = {
    "ask": lambda server, command: drive(server.ask(command)),
    "ask_now": lambda server, command: server.ask_now(command),
    "ask_all": lambda server, command: drive(server.ask_all([command]))[0],
}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param  # type: ignore[no-any-return]


def make(*plan: object) -> tuple[Server, FakeLink, Breaker, list[Event]]:
    link, breaker, events = FakeLink(*plan), Breaker(), list[Event]()
    return Server(link, breaker, "here:1", events.append), link, breaker, events


@pytest.mark.parametrize(
    ("command", "first", "again"),
    [
        (get("k"), broken("lost"), True),
        (get("k"), broken("lost", sent=False), True),
        (INCR, broken("lost", sent=False), True),
        (INCR, broken("lost"), False),
        (get("k"), broken("timeout"), False),
        (INCR, broken("timeout", sent=False), False),
        (get("k"), broken("late"), False),
        (INCR, broken("late", sent=False), False),
        (get("k"), broken("refused", sent=False), False),
        (get("k"), broken("closed", sent=False), False),
        (get("k"), broken("open", sent=False), False),
    ],
)
def test_what_is_sent_again(ask: Ask, command: Command, first: WireBroken, again: bool) -> None:
    """Only after a lost connection, once, on a new one, and only what may be repeated or was not sent."""
    server, link, _, _ = make(first)
    if again:
        assert ask(server, command) == b"OK"
        assert link.resets == 1
    else:
        with pytest.raises(WireBroken) as caught:
            ask(server, command)
        assert caught.value.how == first.how
    assert len(link.asked) == 1 + again


def test_never_a_third_time(ask: Ask) -> None:
    """A second loss is the caller's."""
    server, link, breaker, _ = make(broken("lost"), broken("lost"))
    with pytest.raises(WireBroken):
        ask(server, get("k"))
    assert len(link.asked) == 2
    assert breaker.failures == 1


def test_a_forgotten_script_is_sent_whole(ask: Ask) -> None:
    """NOSCRIPT is answered with EVAL; nothing was executed, so it holds for what must not be repeated too."""
    server, link, _, _ = make(ReplyError("NOSCRIPT No matching script."))
    assert ask(server, SCRIPT) == b"OK"
    assert link.asked == ["EVALSHA", "EVAL"]


def test_a_read_only_server_is_left(ask: Ask) -> None:
    """READONLY makes us look for the primary anew and send the command there, once."""
    server, link, _, _ = make(ReplyError("READONLY You can't write against a read only replica."))
    assert ask(server, INCR) == b"OK"
    assert (link.asked, link.resets) == (["INCR", "INCR"], 1)
    server, link, _, _ = make(*[ReplyError("READONLY no")] * 2)
    assert str(ask(server, INCR)).startswith("READONLY")
    assert len(link.asked) == 2


def test_other_refusals_are_replies(ask: Ask) -> None:
    """An error reply is a value here, and no failure of the server."""
    server, link, breaker, _ = make(ReplyError("WRONGTYPE no"))
    assert type(ask(server, INCR)) is ReplyError
    assert (len(link.asked), breaker.failures) == (1, 0)


def test_failures_in_a_row_open_the_breaker_once(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three failures calls are refused in microseconds without touching the link; one event tells it."""
    monkeypatch.setattr("holdfast.backend.breaker.FIRST_PAUSE", 60.0)  # no probe, though this process stand still
    server, link, _, events = make(*[broken("refused", sent=False)] * THRESHOLD)
    for _ in range(THRESHOLD):
        with pytest.raises(WireBroken):
            ask(server, get("k"))
    asked = len(link.asked)
    started = time.perf_counter()
    for _ in range(200):
        with pytest.raises(WireBroken) as caught:
            ask(server, get("k"))
    assert (time.perf_counter() - started) / 200 < 0.0005
    assert caught.value.how == "open"
    assert len(link.asked) == asked
    assert [type(event) for event in events] == [BreakerOpened]
    assert link.turned_away == 1


def test_one_time_out_opens_it(ask: Ask) -> None:
    """A time-out is enough: Redis has one thread, and everybody would wait as long."""
    server, link, breaker, events = make(broken("timeout"))
    with pytest.raises(WireBroken):
        ask(server, get("k"))
    assert breaker.tripped
    assert (link.resets, link.turned_away, len(events)) == (1, 1, 1)


def test_an_answer_ends_the_row(ask: Ask) -> None:
    """Failures count only in a row."""
    plan: list[object] = []
    for _ in range(5):
        plan += [broken("refused", sent=False)] * (THRESHOLD - 1) + [b"OK"]
    server, _, breaker, events = make(*plan)
    for step in plan:
        if step == b"OK":
            assert ask(server, get("k")) == b"OK"
        else:
            with pytest.raises(WireBroken):
                ask(server, get("k"))
    assert not breaker.tripped
    assert events == []


def test_the_probe_closes_it(ask: Ask) -> None:
    """When the pause is over one call goes through; its success closes the breaker and is told once."""
    server, _, breaker, events = make(broken("timeout"))
    with pytest.raises(WireBroken):
        ask(server, get("k"))
    breaker._retry_at = 0.0
    assert ask(server, get("k")) == b"OK"
    assert ask(server, get("k")) == b"OK"
    assert [type(event) for event in events] == [BreakerOpened, BreakerClosed]


@pytest.mark.parametrize(
    "end",
    [
        broken("closed", sent=False),
        KeyboardInterrupt(),
        broken("open", sent=False),
        broken("late", sent=False, fair=False),
    ],
)
def test_a_probe_without_an_answer_makes_room_for_another(ask: Ask, end: BaseException) -> None:
    """A probe that ended for a reason of its own says nothing of the server: the next caller probes."""
    server, _, breaker, _ = make(broken("timeout"), end)
    with pytest.raises(WireBroken):
        ask(server, get("k"))
    breaker._retry_at = 0.0
    with pytest.raises(type(end)):
        ask(server, get("k"))
    assert breaker.tripped
    assert ask(server, get("k")) == b"OK"
    assert not breaker.tripped


def test_patience_that_runs_out_counts_once(ask: Ask) -> None:
    """Others may be more patient: it takes three in a row, and no connection is forgotten for it."""
    server, link, breaker, events = make(*[broken("late")] * (THRESHOLD - 1), b"OK", *[broken("late")] * THRESHOLD)
    for failures in (1, 2, 0, 1, 2, 3):
        if failures:
            with pytest.raises(WireBroken):
                ask(server, INCR)
        else:
            assert ask(server, INCR) == b"OK"
        assert breaker.failures == failures
    assert (link.resets, link.turned_away) == (0, 1)
    assert [type(event) for event in events] == [BreakerOpened]


def test_a_server_that_had_no_chance_is_not_blamed(ask: Ask) -> None:
    """Patience that ran out for reasons of the caller's own process opens nothing."""
    server, _, breaker, _ = make(*[broken("late", fair=False)] * (THRESHOLD + 1))
    for _ in range(THRESHOLD + 1):
        with pytest.raises(WireBroken):
            ask(server, INCR)
    assert breaker.failures == 0


def test_a_probe_without_patience_left_has_failed(ask: Ask) -> None:
    """The breaker stays open, and lets the next probe by after twice the pause."""
    server, _, breaker, _ = make(broken("timeout"), broken("late"))
    with pytest.raises(WireBroken):
        ask(server, get("k"))
    breaker._retry_at = 0.0
    with pytest.raises(WireBroken, match="late"):
        ask(server, get("k"))
    with pytest.raises(WireBroken, match="open"):
        ask(server, get("k"))
    breaker._retry_at = 0.0
    assert ask(server, get("k")) == b"OK"


@pytest.mark.parametrize(
    "first", [broken("lost", sent=False), ReplyError("NOSCRIPT No"), ReplyError("READONLY You can't write")]
)
def test_every_try_has_the_deadline_of_the_call(first: Exception) -> None:
    """What is sent a second time has no more time than what the first try has left over."""
    deadline = Deadline(5)
    ways: list[Callable[[Server], object]] = [
        lambda server: server.ask_now(SCRIPT, deadline),
        lambda server: drive(server.ask(SCRIPT, None, deadline)),
        lambda server: drive(server.ask_all([SCRIPT, SCRIPT], deadline)),
    ]
    for way in ways:
        server, link, _, _ = make(first)
        way(server)
        assert len(link.asked) >= 2
        assert set(link.deadlines) == {deadline}


def test_late_answers_change_nothing() -> None:
    """Calls that were under way when the breaker opened neither close it nor disturb the probe."""
    outcomes: list[asyncio.Future[object]] = []

    class Slow(FakeLink):
        async def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
            outcomes.append(asyncio.get_running_loop().create_future())
            return await outcomes[-1]

    async def scenario() -> None:
        breaker, events = Breaker(), list[Event]()
        server = Server(Slow(), breaker, "here:1", events.append)
        calls = [asyncio.ensure_future(server.ask(get("k"))) for _ in range(6)]
        await asyncio.sleep(0)
        outcomes[0].set_exception(broken("timeout"))
        outcomes[1].set_result(b"late")
        await asyncio.wait(calls[:2])
        assert breaker.tripped
        breaker._retry_at = 0.0
        probe = asyncio.ensure_future(server.ask(get("k")))
        await asyncio.sleep(0)
        outcomes[2].set_exception(broken("timeout"))
        outcomes[3].set_result(b"late")
        await asyncio.wait(calls[2:4])
        with pytest.raises(WireBroken, match="open"):
            await server.ask(get("k"))
        probe.cancel()
        await asyncio.wait([probe])
        another = asyncio.ensure_future(server.ask(get("k")))
        await asyncio.sleep(0)
        outcomes[-1].set_result(b"OK")
        assert await another == b"OK"
        outcomes[4].set_exception(broken("refused"))
        outcomes[5].set_result(b"late")
        await asyncio.gather(*calls, return_exceptions=True)
        assert not breaker.tripped
        assert [type(event) for event in events] == [BreakerOpened, BreakerClosed]

    asyncio.run(scenario())


def test_no_second_try_once_the_breaker_is_open() -> None:
    """Who loses a connection that another has found to be dead does not queue up for a new one."""
    breaker = Breaker()

    class Lost(FakeLink):
        def ask_now(self, command: Command, deadline: Deadline | None = None) -> Reply:
            breaker.failure(time.monotonic(), weight=THRESHOLD)
            return super().ask_now(command, deadline)

    link = Lost(broken("lost"))
    server = Server(link, breaker, "here:1", lambda _: None)
    with pytest.raises(WireBroken) as caught:
        server.ask_now(get("k"))
    assert caught.value.how == "open"
    assert len(link.asked) == 1
