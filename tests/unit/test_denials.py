"""Promises of what a process knows to be refused: never too long, for nothing else, and forgotten on a reset."""

from __future__ import annotations

import math
from math import inf, nextafter

from hypothesis import given
from hypothesis import strategies as st

from holdfast._denials import LONGEST, Denial, Denials, shifted
from holdfast.policy.decision import PolicyDecision
from holdfast.policy.quota import Quota
from support.limit_traffic import promise

TEN, TWENTY = Quota(10, 1), Quota(20, 1)
instants = st.floats(0, 1e7) | st.floats(1e-9, 1)


def said(retry_after: float = 0.5, remaining: int = 0) -> PolicyDecision:
    return PolicyDecision("per-second", retry_after == 0, 10, remaining, retry_after, retry_after, 1.0)


def denial(since: float = 100.0, retry_after: float = 0.5, cost: int = 1, key: str = "a") -> Denial:
    return Denial(since + min(LONGEST, retry_after), cost, TEN, since, since, (key,), (TEN,), (said(retry_after),))


def noted(*given: tuple[str, Denial], most: int = 100) -> Denials:
    denials = Denials(most)
    for key, each in given:
        denials.note(key, each, denials.generation)
    return denials


def holds(denials: Denials, now: float, cost: int = 1, quota: Quota = TEN, key: str = "a") -> bool:
    return denials.find((key,), (quota,), cost, now)[1] is not None


@promise(3)
@given(since=instants, retry_after=st.floats(1e-6, 1e6) | st.just(inf), later=st.floats(0, 2))
def test_it_ends_when_redis_would_admit(since: float, retry_after: float, later: float) -> None:
    """It is believed until just before that, for a second at most; what it tells then is that the hit is refused."""
    denials = noted(("a", denial(since, retry_after)))
    for now in (since, since + later, since + retry_after, nextafter(since + retry_after, 0), since + LONGEST):
        if now < since:
            continue
        key, found = denials.find(("a",), (TEN,), 1, now)
        if found is None:
            assert now - since > min(LONGEST, retry_after) - max(1e-9, since * 1e-15)
        else:
            assert now - since < min(LONGEST, retry_after) + math.ulp(since)
            (told,) = (shifted(policy, now - since) for policy in found.told(("a",), (TEN,)))
            assert (key, told.allowed) == ("a", False)
            assert 0 < told.retry_after <= retry_after


def test_it_holds_for_the_same_hit_only() -> None:
    """Not for one that costs less, which may fit, or more, which waits for longer; for no other quota or bucket."""
    denials = noted(("a", denial(cost=3)))
    assert holds(denials, 100.2, 3)
    assert holds(denials, 100.2, 3, Quota(10, 1))
    assert not any(holds(denials, 100.2, cost) for cost in (0, 1, 2, 4))
    assert not holds(denials, 100.2, 3, TWENTY)
    assert not holds(denials, 100.2, 3, key="b")


def test_of_several_buckets_any_one_refuses() -> None:
    """The first of the buckets that is known to refuse is told."""
    denials = noted(("b", denial(key="b")))
    assert denials.find(("a", "b"), (TEN, TEN), 1, 100.1)[0] == "b"
    assert denials.find(("a", "c"), (TEN, TEN), 1, 100.1) == ("", None)


def test_what_is_told_is_of_the_bucket_that_refused() -> None:
    """All that was said if the hit is the same, or else what this bucket said, though another has an equal quota."""
    both = Denial(100.5, 1, TEN, 100.0, 100.0, ("a", "b"), (TEN, TEN), (said(0.0, 7), said(0.5)))
    found = noted(("b", both)).find(("b",), (TEN,), 1, 100.1)[1]
    assert found is not None
    assert found.told(("a", "b"), (TEN, TEN)) == (said(0.0, 7), said(0.5))
    assert found.told(("b",), (TEN,)) == (said(0.5),)
    assert found.told(("b", "c"), (TEN, TEN)) == (said(0.5),)
    assert found.told(("a", "b"), (TEN, TWENTY)) == (said(0.5),)


def test_it_is_bounded() -> None:
    """The oldest denials go first; one that is renewed is not old."""
    denials = noted(*((key, denial(key=key)) for key in "abcabd"), most=3)
    assert [key for key in "abcd" if holds(denials, 100.1, key=key)] == ["a", "b", "d"]
    for number in range(50):
        denials.note(f"key {number}", denial(key=f"key {number}"), denials.generation)
    assert len(denials.known) == 3


def test_a_reset_forgets() -> None:
    """What was refused before, and what is refused by a reply that was under way; later ones are noted again."""
    denials = noted(("a", denial()), ("b", denial(key="b")))
    before = denials.generation
    denials.forget(["a"])
    assert not holds(denials, 100.1)
    assert holds(denials, 100.1, key="b")
    denials.note("a", denial(), before)
    assert not holds(denials, 100.1)
    denials.note("a", denial(), denials.generation)
    assert holds(denials, 100.1)


def test_a_reset_of_one_bucket_is_nothing_to_another() -> None:
    """A refusal is remembered though other buckets are reset all the time; of too many resets some count for all."""
    denials = Denials(most=3)
    before = denials.generation
    denials.forget(["b", "c", "d"])
    denials.note("a", denial(), before)
    assert holds(denials, 100.1)
    denials.forget(["e"])  # the reset of b is forgotten now: it could have been of any
    denials.note("f", denial(key="f"), before)
    assert not holds(denials, 100.1, key="f")
    denials.note("f", denial(key="f"), denials.generation)
    assert holds(denials, 100.1, key="f")
    assert len(denials._forgotten) == 3


def test_a_forked_child_can_note() -> None:
    """Though the lock was held by a thread of the parent that is not in the child."""
    denials = Denials()
    denials._lock.acquire()
    denials.after_fork()
    denials.note("a", denial(), denials.generation)
    denials.forget(["b"])
    assert holds(denials, 100.1)


def test_time_shifts_what_was_said() -> None:
    """Waits and resets shrink with time, not below 0; an infinite wait stays so."""
    assert shifted(said(0.5), 0.2) == said(0.3)
    assert shifted(said(0.5), 0.7) == PolicyDecision("per-second", True, 10, 0, 0.0, 0.0, 1.0)
    assert shifted(said(inf), 1e6).retry_after == inf
