"""Promises of the circuit breaker, checked as a state machine against a plain model."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.backend.breaker import FIRST_PAUSE, LONGEST_CHEAP_PAUSE, LONGEST_PAUSE, THRESHOLD, Breaker


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin and end in any order; the model says what each must see."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 100.0
        self.under_way = 0
        self.probe_under_way = False
        self.failures = 0
        self.open = False
        self.pause = FIRST_PAUSE
        self.retry_at = 0.0
        self.opened = self.closed = 0

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.3, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        """The clock goes on."""
        self.now += seconds

    @rule()
    def a_call_begins(self) -> None:
        """A closed breaker lets all by; a tripped one lets a single probe by when its pause is over."""
        admission = self.breaker.admit(self.now)
        if not self.open:
            assert admission == "free"
            self.under_way += 1
        elif self.now >= self.retry_at and not self.probe_under_way:
            assert admission == "probe"
            self.probe_under_way = True
        else:
            assert admission == "refused"

    @precondition(lambda self: self.under_way)
    @rule()
    def a_call_succeeds(self) -> None:
        """A success counts only while the breaker is closed."""
        self.under_way -= 1
        assert self.breaker.success(probe=False) is False
        if not self.open:
            self.failures = 0

    @precondition(lambda self: self.under_way)
    @rule(weight=st.sampled_from([1, THRESHOLD]))
    def a_call_fails(self, weight: int) -> None:
        """Failures in a row open it, once."""
        self.under_way -= 1
        retry_in = self.breaker.failure(self.now, weight=weight)
        if self.open:
            assert retry_in is None
            return
        self.failures += weight
        if self.failures >= THRESHOLD:
            assert retry_in == FIRST_PAUSE
            self.open, self.pause, self.retry_at = True, FIRST_PAUSE, self.now + FIRST_PAUSE
            self.opened += 1
        else:
            assert retry_in is None

    @precondition(lambda self: self.probe_under_way)
    @rule()
    def the_probe_succeeds(self) -> None:
        """The probe's success closes it, whatever older calls are still under way."""
        assert self.breaker.success(probe=True) is True
        self.probe_under_way = self.open = False
        self.failures = 0
        self.closed += 1

    @precondition(lambda self: self.probe_under_way)
    @rule(weight=st.sampled_from([1, THRESHOLD]))
    def the_probe_fails(self, weight: int) -> None:
        """The probe's failure doubles the pause, up to a limit that is lower if it cost little, and opens nothing."""
        assert self.breaker.failure(self.now, weight=weight, probe=True) is None
        self.probe_under_way = False
        self.pause = min(self.pause * 2, LONGEST_CHEAP_PAUSE if weight == 1 else LONGEST_PAUSE)
        self.retry_at = self.now + self.pause

    @precondition(lambda self: self.probe_under_way)
    @rule()
    def the_probe_is_cancelled(self) -> None:
        """A probe that ends without an answer lets another one take its place at once."""
        self.breaker.withdraw()
        self.probe_under_way = False

    @invariant()
    def it_says_whether_it_is_tripped(self) -> None:
        """What the hot path reads agrees with the model, and openings and closings alternate."""
        assert self.breaker.tripped == self.open
        assert bool(self.breaker.failures) == bool(self.failures or self.open)
        assert self.opened - self.closed == self.open


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_child_process_starts_closed() -> None:
    """After a fork the breaker is closed, and its lock is free even if a thread of the parent held it."""
    breaker = Breaker()
    assert breaker.failure(0.0, weight=THRESHOLD)
    breaker._lock.acquire()
    breaker.after_fork()
    assert breaker.admit(0.0) == "free"
