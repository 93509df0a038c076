"""Promises of quotas: what text means, what is refused, and how exactly the scripts know a rate."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import timedelta
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.policy.buckets import constants_of
from holdfast.policy.quota import ALGORITHMS, Quota, quotas_of
from support.limit_traffic import promise

CENTURY = 100 * 365 * 86400
TEXTS: dict[str, list[Quota]] = {
    "100/minute": [Quota(100, 60)],
    "100/Minutes": [Quota(100, 60)],
    " 5 / second ": [Quota(5, 1)],
    "1_000/hour": [Quota(1000, 3600)],
    "7/day": [Quota(7, 86400)],
    "7/week": [Quota(7, 604800)],
    "5/30s": [Quota(5, 30)],
    "5/15 minutes": [Quota(5, 900)],
    "5/1.5hours": [Quota(5, 5400)],
    "5/1h30m": [Quota(5, 5400)],
    "5/250ms": [Quota(5, 0.25)],
    "10/second; burst=20": [Quota(10, 1, burst=20)],
    "10/second;burst=20;name=fast": [Quota(10, 1, burst=20, name="fast")],
    "9/day; algorithm=sliding_log": [Quota(9, 86400, algorithm="sliding_log")],
    "10/second, 1000/hour": [Quota(10, 1), Quota(1000, 3600)],
    "1000000000000/century".replace("century", "36500d"): [Quota(10**12, CENTURY)],
}
WRONG = [
    "",
    ",",
    "100",
    "/minute",
    "100/",
    "100/minute,",
    "100 per minute",
    "0/minute",
    "-1/minute",
    "1.5/minute",
    "1__0/minute",
    "1_/minute",
    "٣/minute",
    "1000000000001/minute",
    "9" * 5000 + "/minute",
    "5/0s",
    "5/fortnight",
    "5/0.1ms",
    "5/200000 weeks",
    "5/" + "9" * 400 + " days",
    "5/minute; burst",
    "5/minute; burst=",
    "5/minute; burst=0",
    "5/minute; burst=-1",
    "5/minute; burst=x",
    "5/minute; burst=²",
    "5/minute; burst=" + "9" * 5000,
    "5/minute; burst=2; burst=3",
    "5/minute; limit=3",
    "5/minute; name=",
    "5/minute; name=Daily",
    "5/minute; name=9to5",
    "5/minute; name=a:b",
    "5/minute; name=" + "a" * 81,
    "5/minute; algorithm=leaky",
    "5/minute; algorithm=fixed_window; burst=9",
    "5/minute, 6/minute",
    ", ".join(f"{number}/minute; name=n{number}" for number in range(1, 18)),
]
NAMES = {
    1: "per-second",
    60: "per-minute",
    3600: "per-hour",
    86400: "per-day",
    604800: "per-week",
    900: "per-15m",
    5400: "per-1h30m",
    90061: "per-1d1h1m1s",
    0.25: "per-250ms",
    1.5: "per-1500ms",
    0.001: "per-1ms",
    CENTURY: "per-36500d",
}


@pytest.mark.parametrize("text", TEXTS)
def test_text_means_quotas(text: str) -> None:
    """Amount, period and settings, with spaces and case as people type them; several are joined by commas."""
    assert quotas_of(text) == tuple(TEXTS[text])


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:40].encode("ascii", "replace").decode() or "empty")
def test_other_text_is_refused(text: str) -> None:
    """With an error of ours, whatever the text."""
    with pytest.raises(ConfigurationError):
        quotas_of(text)


NO_PERIOD = "is no period: write second, minute, hour, day or week, or a duration such as '30s'"
ADVICE = {
    "100/min": f"quota '100/min': 'min' {NO_PERIOD}",
    "100/m": f"'m' {NO_PERIOD}",
    "100/60": f"'60' {NO_PERIOD}",
    "1/month": f"'month' {NO_PERIOD}",
    "10/second burst=20": f"'second burst=20' {NO_PERIOD}; options come behind ';'",
    "10/second; 100/minute": "; several quotas are separated by ','",
    "1,000/minute": "write 1000 or 1_000",
    "5/second, 2,000,000 / hour": "write 2000000 or 2_000_000",
    "10/second, 20/second": "as in '20/second; name=per-second-2'",
    "9/90m; burst=2; name=x, 5/day, 8/90m; burst=3; name=x": "as in '8/1h30m; burst=3; name=x-3'",
    "9/day; algorithm=sliding_log, 8/day; algorithm=sliding_log": "'8/day; algorithm=sliding_log; name=per-day-2'",
}


@pytest.mark.parametrize("text", ADVICE)
def test_a_mistake_is_answered_with_what_would_work(text: str) -> None:
    """What people type elsewhere, and what they forget, is met by name."""
    with pytest.raises(ConfigurationError) as raised:
        quotas_of(text)
    assert str(raised.value).endswith(ADVICE[text]) or ADVICE[text] in str(raised.value)


@pytest.mark.parametrize("text", [text for text in ADVICE if "as in" in ADVICE[text]])
def test_the_advice_for_two_of_one_name_works(text: str) -> None:
    """Typed in the place of the second quota it is the same quota, in a bucket of its own."""
    first, _, second = text.rpartition(", ")
    advised = ADVICE[text].split("'")[1]
    quotas = quotas_of(f"{first}, {advised}")
    assert quotas[-1].named(quotas_of(second)[0].name) == quotas_of(second)[0]


def test_no_quota_at_all_is_called_by_its_name() -> None:
    """An empty sequence is a mistake, as a missing setting makes it."""
    with pytest.raises(ConfigurationError, match="there is no quota"):
        quotas_of([])


def test_a_quota_knows_its_periods_as_text_does() -> None:
    """The same advice for an object as for text."""
    with pytest.raises(ConfigurationError, match="per='min' is no period"):
        Quota(5, "min")


@promise(3)
@given(st.text(max_size=40) | st.from_regex(r"\A[0-9_./; ,=a-z]{1,30}\Z"))
def test_any_text_is_quotas_or_an_error_of_ours(text: str) -> None:
    """Nothing that is typed ends in an error of Python's."""
    try:
        quotas = quotas_of(text)
    except ConfigurationError:
        return
    assert all(quota.limit >= 1 and quota.period >= 0.001 for quota in quotas)


@pytest.mark.parametrize("given", [None, 5, 5.0, b"5/minute", {5}, [5], [None], [], {"5/minute": 1}], ids=str)
def test_what_is_no_quota_is_refused(given: Any) -> None:
    """Callers are often untyped."""
    with pytest.raises(ConfigurationError):
        quotas_of(given)


def test_quotas_come_in_any_shape() -> None:
    """Text, one quota, or a sequence of these."""
    ten = Quota(10, 1)
    assert quotas_of(ten) == quotas_of([ten]) == quotas_of("10/second") == quotas_of(("10/second",)) == (ten,)
    assert quotas_of(["10/second, 5/minute", Quota(1, "1h")]) == (ten, Quota(5, 60), Quota(1, 3600))


@pytest.mark.parametrize("value", [0, -1, 1.0, "5", True, None, 10**12 + 1])
def test_limits_and_bursts_are_whole_numbers(value: Any) -> None:
    """From 1 to 10**12; a burst may be left out."""
    with pytest.raises(ConfigurationError, match="limit="):
        Quota(value, 1)
    if value is not None:
        with pytest.raises(ConfigurationError, match="burst="):
            Quota(1, 1, burst=value)


@pytest.mark.parametrize("per", NAMES)
def test_the_period_names_the_policy(per: float) -> None:
    """Unless it has a name: words for usual periods, else its length; and a timedelta says the same."""
    assert Quota(1, per).name == Quota(1, timedelta(seconds=per)).name == NAMES[per]
    assert Quota(1, per, name="mine").name == "mine"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_bucket_is_named_by_algorithm_and_policy(algorithm: Any) -> None:
    """Not by the limit, which may change."""
    assert Quota(1, 60, algorithm=algorithm).bucket == Quota(9, 60, algorithm=algorithm).bucket
    assert Quota(1, 60, algorithm=algorithm).bucket == f"{algorithm}:per-minute"


def test_quotas_are_values() -> None:
    """Equal ones are equal, hash alike, and cannot be changed."""
    quota = Quota(5, "1m", burst=7)
    assert quota == Quota(5, 60.0, burst=7)
    assert hash(quota) == hash(Quota(5, timedelta(minutes=1), burst=7))
    with pytest.raises(AttributeError):
        quota.limit = 6  # type: ignore[misc]
    assert (quota.most, Quota(5, 60).most) == (7, 5)


@pytest.mark.parametrize("quota", [Quota(5, "1m", burst=7), Quota(5, 60, algorithm="fixed_window", name="x")], ids=str)
def test_quotas_can_be_copied_and_changed(quota: Quota) -> None:
    """By all the ways of Python; a changed one hashes as it would if it were made anew."""
    for same in (copy.copy(quota), copy.deepcopy(quota), pickle.loads(pickle.dumps(quota)), dataclasses.replace(quota)):
        assert (same, hash(same)) == (quota, hash(quota))
    changed = dataclasses.replace(quota, limit=6)
    made = Quota(6, 60, burst=quota.burst, algorithm=quota.algorithm, name=quota.name)
    assert (changed, hash(changed)) == (made, hash(made))
    with pytest.raises(ConfigurationError, match="limit="):
        dataclasses.replace(quota, limit=0)


limits = st.integers(1, 100) | st.integers(1, 10**12)
periods = st.one_of(
    st.sampled_from([0.001, 1, 60, 86400, 604800, CENTURY]),
    st.floats(0.001, 1000).map(lambda seconds: max(0.001, round(seconds, 6))),
    st.floats(0.001, CENTURY),
)


@promise(5)
@given(limits, periods, st.none() | limits)
def test_scripts_know_a_rate_within_a_billionth(limit: int, per: float, burst: int | None) -> None:
    """Or the quota is refused; and a full bucket stays small enough for exact numbers."""
    quota = Quota(limit, per, burst=burst)
    try:
        algorithm, capacity, fill, drain = constants_of(quota)
    except ConfigurationError:
        assert quota.most * max(1, round(per * 1e6)) // limit > 10**5
        return
    exact = Fraction(limit, round(per * 1_000_000))
    assert algorithm == "gcra"
    assert abs(Fraction(drain, fill) - exact) <= exact / 10**9
    assert capacity == quota.most * fill <= 2**52
    assert min(fill, drain) >= 1


@pytest.mark.parametrize(
    ("limit", "per", "fill", "drain"),
    [
        (7, 1, 1_000_000, 7),
        (3, 10, 10_000_000, 3),
        (1_000_000, 86400, 86400, 1),
        (10_000_000, 1, 1, 10),
        (1, CENTURY, CENTURY * 1_000_000, 1),
        (10**12, 0.001, 1, 10**9),
    ],
)
def test_awkward_rates_are_exact(limit: int, per: float, fill: int, drain: int) -> None:
    """Rates that are no whole number of microseconds a unit, and those of many units a microsecond."""
    assert constants_of(Quota(limit, per)) == ("gcra", limit * fill, fill, drain)


@pytest.mark.parametrize("algorithm", [each for each in ALGORITHMS if each != "gcra"])
def test_other_algorithms_count_units(algorithm: Any) -> None:
    """Their constants are the limit and the period."""
    assert constants_of(Quota(7, 0.001007, algorithm=algorithm)) == (algorithm, 7, 1007, 0)


def test_a_burst_that_cannot_be_counted_is_refused() -> None:
    """With an error that says what would help."""
    with pytest.raises(ConfigurationError, match="choose a smaller burst"):
        constants_of(Quota(1, CENTURY, burst=1000))
    with pytest.raises(ConfigurationError, match="rounder numbers") as raised:
        constants_of(Quota(999_999_999_989, "7777777s"))
    assert "burst" not in str(raised.value)  # nobody gave one


def test_whole_numbers_of_other_classes_are_plain_in_a_quota() -> None:
    """A member of an IntEnum would reach Redis and the header fields as something else."""

    class Plan(IntEnum):
        FREE = 5

    quota = Quota(Plan.FREE, 60, burst=Plan.FREE)
    assert (type(quota.limit), type(quota.burst)) == (int, int)


def test_periods_that_differ_have_names_that_differ() -> None:
    """Down to the microsecond that Redis counts in."""
    names = {Quota(1, period).name for period in (0.0011, 0.0014, 60, 60.0003, 60.5, 61)}
    assert names == {"per-1100us", "per-1400us", "per-minute", "per-60000300us", "per-60500ms", "per-1m1s"}


def test_a_text_of_any_length_is_not_remembered() -> None:
    """One that is too long for a quota is refused, without being repeated."""
    with pytest.raises(
        ConfigurationError, match=r"a quota of 100000 characters, beginning with '1/minute, 1/minute"
    ) as refused:
        quotas_of("1/minute, " * 10_000)
    assert len(str(refused.value)) < 200
