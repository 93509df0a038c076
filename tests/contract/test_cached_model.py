"""The cache against a model of it, under sequences of operations that Hypothesis makes up and shortens.

The model is a dictionary of what is stored and, for each key, the load under way. Loads stop at a gate, so that every
other operation can fall in the middle of one; operations are blocking or async by chance.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import hypothesis.strategies as st
from hypothesis import assume, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast import MISSING, Layer, entries
from support.flights import joined

KEYS = st.integers(0, 2)
VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
BLOCKING = st.booleans()


@dataclass(eq=False)
class Load:
    """A load under way: what it will bring, who waits for it, and whether it may still store."""

    value: Any
    gate: asyncio.Event
    callers: list[asyncio.Task[Any]] = field(default_factory=list)
    early: set[asyncio.Task[Any]] = field(default_factory=set)
    """Those who called before it began. The others begin again if its key was changed meanwhile."""
    current: bool = True


class CacheMachine(RuleBasedStateMachine):
    """Every operation on three keys."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.layer = Layer(namespace=uuid4().hex)
        self.source: dict[int, Any] = dict.fromkeys(range(3), "start")
        self.stored: dict[int, Any] = {}
        self.loads: dict[int, list[Load]] = {number: [] for number in range(3)}
        self.waiting = True
        self.begun: Counter[asyncio.Task[Any]] = Counter()

        @self.layer.cached(60, key="number:{number}")
        async def awaited(number: int) -> Any:
            value = self.source[number]
            if self.waiting:
                load = Load(value, asyncio.Event())
                self.loads[number].append(load)
                await load.gate.wait()
            return value

        @self.layer.cached(60, key="number:{number}")
        def plain(number: int) -> Any:
            return self.source[number]

        self.awaited, self.plain = awaited, plain

    def teardown(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.settle()
        self.loop.run_until_complete(self.layer.aclose())
        self.loop.close()

    def settle(self) -> None:
        """Let the loop run until nobody can go on."""

        async def idle() -> None:
            for _ in range(20):
                await asyncio.sleep(0)

        self.loop.run_until_complete(idle())

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable) if asyncio.iscoroutine(awaitable) else awaitable

    def verbs(self, target: Any, name: str, *, blocking: bool) -> Any:
        method = getattr(target, name if blocking else f"a{name}")
        return lambda *args, **kwargs: self.run(method(*args, **kwargs))

    def current(self, number: int) -> Load | None:
        return next((load for load in self.loads[number] if load.current), None)

    def changed(self, number: int, *value: Any) -> None:
        """Note that an entry was changed on request: loads from before do not store."""
        for load in self.loads[number]:
            load.current = False
        self.stored.pop(number, None)
        if value:
            self.stored[number] = value[0]

    @initialize(values=st.lists(VALUES, min_size=3, max_size=3))
    def start(self, values: list[Any]) -> None:
        self.source = dict(enumerate(values))

    @rule(number=KEYS, value=VALUES)
    def change_source(self, number: int, value: Any) -> None:
        self.source[number] = value

    @rule(number=KEYS)
    def call(self, number: int) -> None:
        """Call the async function: a hit, or one more caller of a load that stops at its gate."""
        before = self.current(number)
        task = self.loop.create_task(self.awaited(number))
        self.settle()
        load = self.current(number)
        if before is None and number in self.stored:
            assert task.result() == self.stored[number]
            return
        assert load is not None
        assert before in {None, load}
        load.callers.append(task)
        if before is None:
            load.early.add(task)
        assert not task.done()

    @rule(number=KEYS)
    def call_blocking(self, number: int) -> None:
        """Call the plain function: a hit, a load of its own, or past a load that its own thread runs."""
        expected = self.stored.get(number, self.source[number])
        if self.current(number) is not None:
            assert self.plain(number) == self.source[number]
            return
        assert self.plain(number) == expected
        self.stored[number] = expected

    @precondition(lambda self: any(self.loads.values()))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Let a load end: its callers get its value, and it stores it unless its key was changed."""
        number, load = data.draw(st.sampled_from([(n, load) for n in self.loads for load in self.loads[n]]))
        again = [] if load.current else [task for task in load.callers if task not in load.early]
        assume(all(self.begun[task] < 2 for task in again))  # the third time they would load for themselves
        load.gate.set()
        self.settle()
        self.loads[number].remove(load)
        self.begin_again(number, again)
        results = [task.result() for task in load.callers if task not in again]
        assert results == [load.value] * len(results)
        if isinstance(load.value, list):
            assert len({id(result) for result in results}) == len(results)
        if load.current:
            self.stored[number] = load.value

    def begin_again(self, number: int, callers: list[asyncio.Task[Any]]) -> None:
        """Expect of callers that a load brought nothing what is expected of new ones."""
        for task in callers:
            self.begun[task] += 1
            if number in self.stored:
                assert task.result() == self.stored[number]
                continue
            assert not task.done()
            load = self.current(number)
            assert load is not None
            load.callers.append(task)
            if load.callers[0] not in load.early or load.callers[0] in callers:
                load.early.add(task)

    @precondition(lambda self: any(load.callers for loads in self.loads.values() for load in loads))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel a caller: the load goes on for the others, and ends with the last."""
        number, load, task = data.draw(
            st.sampled_from([(n, load, task) for n in self.loads for load in self.loads[n] for task in load.callers])
        )
        task.cancel()
        self.settle()
        assert task.cancelled()
        load.callers.remove(task)
        if not load.callers:
            self.loads[number].remove(load)

    @rule(number=KEYS, value=VALUES, blocking=BLOCKING, by_name=st.booleans())
    def set(self, number: int, value: Any, *, blocking: bool, by_name: bool) -> None:
        if by_name:
            self.verbs(self.layer.cache, "set", blocking=blocking)(f"number:{number}", value, 60)
        else:
            self.verbs(entries(self.awaited), "set", blocking=blocking)(value, number)
        self.changed(number, value)

    @rule(values=st.dictionaries(KEYS, VALUES), blocking=BLOCKING)
    def set_many(self, values: dict[int, Any], *, blocking: bool) -> None:
        named = {f"number:{number}": value for number, value in values.items()}
        self.verbs(self.layer.cache, "set_many", blocking=blocking)(named, 60)
        for number, value in values.items():
            self.changed(number, value)

    @rule(numbers=st.lists(KEYS), blocking=BLOCKING)
    def delete(self, numbers: list[int], *, blocking: bool) -> None:
        count = self.verbs(self.layer.cache, "delete", blocking=blocking)(*(f"number:{n}" for n in numbers))
        assert count == len(set(numbers) & self.stored.keys())
        for number in numbers:
            self.changed(number)

    @rule(number=KEYS, blocking=BLOCKING)
    def invalidate(self, number: int, *, blocking: bool) -> None:
        found = self.verbs(entries(self.plain), "invalidate", blocking=blocking)(number)
        assert found == (number in self.stored)
        self.changed(number)

    @rule(number=KEYS, blocking=BLOCKING)
    def refresh(self, number: int, *, blocking: bool) -> None:
        self.waiting = False
        function = self.plain if blocking else self.awaited
        assert self.verbs(entries(function), "refresh", blocking=blocking)(number) == self.source[number]
        self.waiting = True
        self.changed(number, self.source[number])

    @rule(number=KEYS, blocking=BLOCKING, by_name=st.booleans())
    def get(self, number: int, *, blocking: bool, by_name: bool) -> None:
        expected = self.stored.get(number, MISSING)
        if by_name:
            found = self.verbs(self.layer.cache, "get", blocking=blocking)(f"number:{number}", MISSING)
        else:
            found = self.verbs(entries(self.awaited), "get", blocking=blocking)(number)
        assert found == expected
        assert (self.verbs(entries(self.awaited), "info", blocking=blocking)(number) is None) == (expected is MISSING)

    @rule(numbers=st.lists(KEYS), blocking=BLOCKING)
    def get_many(self, numbers: list[int], *, blocking: bool) -> None:
        found = self.verbs(self.layer.cache, "get_many", blocking=blocking)([f"number:{n}" for n in numbers])
        assert found == {f"number:{n}": self.stored[n] for n in numbers if n in self.stored}

    @rule(number=KEYS, blocking=BLOCKING)
    def expire(self, number: int, *, blocking: bool) -> None:
        found = self.verbs(self.layer.cache, "expire", blocking=blocking)(f"number:{number}", 30)
        assert found == (number in self.stored)

    @rule(number=KEYS)
    def call_disabled(self, number: int) -> None:
        with self.layer.disabled():
            assert self.plain(number) == self.source[number]

    @invariant()
    def the_books_agree(self) -> None:
        """As many callers wait as the model says, and nothing is on its way to Redis."""
        assert joined(self.layer) == sum(
            len(load.callers) for loads in self.loads.values() for load in loads if load.current
        )


TestCacheAgainstItsModel = CacheMachine.TestCase
TestCacheAgainstItsModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
