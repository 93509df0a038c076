"""Freshness: what an entry is worth, when it is refreshed, and for how long it may be served stale."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.policy.frame import Frame
from holdfast.policy.freshness import (
    Leeway,
    Versions,
    judge,
    may_retry,
    parse_versions,
    retry_pause,
    should_refresh_early,
    stamps_of,
    unchanged,
    unread,
)
from holdfast.policy.stamps import Stamp

HARD, SOFT = "a-random-nonce-11700000000123456", "another-nonce-161700000000654321"
ALLOWANCES = st.floats(0, 1e6)
TAGS = st.sampled_from("abc")
HALF = st.sampled_from("xy")
READ = st.dictionaries(TAGS, st.none() | st.builds(Versions, HALF, HALF))
STAMPS = st.lists(st.builds(Stamp, TAGS, HALF, HALF), max_size=4).map(tuple)


def make(
    *stamps: Stamp, fresh_until: float = 200.0, load_time: float = 0.5, retry_at: float = 0.0, created: float = 100.0
) -> Frame:
    return Frame(
        "i" * 32, fresh_until, retry_at, created, load_time, "json", "", 1, tuple(stamps), False, False, b"1", True
    )


def test_versions_are_what_the_script_writes() -> None:
    """Two halves of 32 characters, with a dot between them."""
    assert parse_versions(f"{HARD}.{SOFT}".encode()) == Versions(HARD, SOFT)
    dots = "." * 32
    assert parse_versions(f"{dots}.{SOFT}".encode()) == Versions(dots, SOFT)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        HARD.encode(),
        f"{HARD}.{SOFT}!".encode(),
        f"{HARD}.{SOFT}\n".encode(),
        f"{HARD}.{SOFT[:-1]}".encode(),
        f"{HARD}:{SOFT}".encode(),
        f"{HARD[:-1]}.{SOFT}x".encode(),
        HARD.encode() + b"." + SOFT[:-1].encode() + b"\xff",
    ],
)
def test_anything_else_is_no_version(raw: bytes | None) -> None:
    """What is not a pair of versions makes entries invalid, as a missing key does."""
    assert parse_versions(raw) is None


@given(st.binary(max_size=80) | st.binary(min_size=32, max_size=32).map(lambda half: half + b"." + half))
def test_no_bytes_break_the_reading_of_versions(raw: bytes) -> None:
    """Whatever lies at the key of a tag, reading it gives two halves of the right length or nothing."""
    found = parse_versions(raw)
    assert found is None or [len(half) for half in found] == [32, 32]


def model(frame: Frame, versions: dict[str, Versions | None], declared: list[str], now: float) -> str:
    """Say again what `judge` says, from definitions."""
    pairs = [(stamp, versions.get(stamp.tag)) for stamp in frame.stamps]
    hard = all(current and current.hard == stamp.hard for stamp, current in pairs)
    soft = all(current and current.soft == stamp.soft for stamp, current in pairs)
    if not hard or not {*declared} <= {stamp.tag for stamp in frame.stamps}:
        return "invalid"
    return "fresh" if soft and now < frame.fresh_until else "stale"


@given(STAMPS, READ, st.lists(TAGS, max_size=2), st.sampled_from([199.0, 200.0, 201.0]))
def test_an_entry_is_judged_by_every_tag_and_by_the_clock(
    stamps: tuple[Stamp, ...], versions: dict[str, Versions | None], declared: list[str], now: float
) -> None:
    """No order of tags and no mixture of findings changes the verdict."""
    assert judge(make(*stamps), versions, declared, now) == model(make(*stamps), versions, declared, now)


@pytest.mark.parametrize("now", [100.0, 250.0])
def test_what_is_older_than_an_invalidation_is_invalid_at_any_time(now: float) -> None:
    """The stale paths compare hard versions as well: age never turns invalid into merely stale."""
    stamp, good = Stamp("a", "h", "s"), {"a": Versions("h", "s")}
    assert judge(make(stamp), good, ["a"], now) == ("fresh" if now < 200 else "stale")
    assert judge(make(stamp), {"a": Versions("h2", "s")}, ["a"], now) == "invalid"
    assert judge(make(stamp), {"a": None}, ["a"], now) == "invalid"
    assert judge(make(stamp), {}, ["a"], now) == "invalid"
    assert judge(make(stamp), good, ["a", "b"], now) == "invalid"
    assert judge(make(), {"a": Versions("h", "s")}, ["a"], now) == "invalid"
    assert judge(make(stamp), {}, [], now) == "invalid"


def test_a_tag_made_stale_makes_stale() -> None:
    """Before its time is over the entry is stale, not invalid."""
    stamp = Stamp("a", "h", "s")
    assert judge(make(stamp), {"a": Versions("h", "s2")}, ["a"], 100.0) == "stale"


@given(STAMPS, READ)
def test_tags_that_were_not_read_are_named_once(
    stamps: tuple[Stamp, ...], versions: dict[str, Versions | None]
) -> None:
    """Reading what is named leaves nothing unread; what was found missing is not read again."""
    names = unread(make(*stamps), versions)
    assert len({*names}) == len(names)
    assert {*names} == {stamp.tag for stamp in stamps} - {*versions}
    assert unread(make(*stamps), {**versions, **dict.fromkeys(names)}) == ()


@given(READ, READ)
def test_stamps_prove_only_what_did_not_change(
    before: dict[str, Versions | None], after: dict[str, Versions | None]
) -> None:
    """Equal in both halves, for every tag; a missing version on either side proves nothing."""
    same = all(versions is not None and after.get(tag) == versions for tag, versions in before.items())
    assert unchanged(stamps_of(before), after) is same


def test_an_entry_stamped_without_versions_is_never_valid() -> None:
    """A tag whose versions were missing is not left out, which would make the entry immune to it."""
    stamps = stamps_of({"a": Versions("h", "s"), "b": None})
    found = {"a": Versions("h", "s"), "b": Versions("x", "y")}
    assert [stamp.tag for stamp in stamps] == ["a", "b"]
    assert judge(make(*stamps), found, [], 100.0) == "invalid"
    assert judge(make(*stamps), {**found, "b": None}, [], 100.0) == "invalid"


@pytest.mark.parametrize("chance", [0.0, 0.3, math.nextafter(1.0, 0.0)])
def test_beta_zero_never_refreshes_early(chance: float) -> None:
    """Not at the last instant, not after it, and not for the dearest load."""
    for now in (100.0, 200.0, 300.0):
        for load_time in (0.5, math.inf):
            assert not should_refresh_early(make(load_time=load_time), now, 0.0, chance)


def test_the_unluckiest_draw_refreshes_only_what_is_over() -> None:
    """A random 0 means no head start, and does not break the logarithm."""
    assert not should_refresh_early(make(), math.nextafter(200.0, 0.0), 1.0, 0.0)
    assert should_refresh_early(make(), 200.0, 1.0, 0.0)


def test_a_load_that_takes_no_time_is_not_refreshed_early() -> None:
    """Nothing is gained by starting early what is done at once."""
    assert not should_refresh_early(make(load_time=0.0), 199.9, 1.0, 0.999)
    assert should_refresh_early(make(load_time=0.0), 200.0, 1.0, 0.999)


def test_the_head_start_is_that_of_the_paper() -> None:
    """An exponential draw, times the duration of the load, times beta."""
    chance = 1 - math.exp(-2)  # the draw is 2
    assert should_refresh_early(make(load_time=3.0), 194.001, 1.0, chance)
    assert not should_refresh_early(make(load_time=3.0), 193.999, 1.0, chance)
    assert should_refresh_early(make(load_time=3.0), 188.001, 2.0, chance)
    assert not should_refresh_early(make(load_time=3.0), 187.999, 2.0, chance)


def test_a_load_longer_than_the_life_of_the_entry_is_started_by_most() -> None:
    """Nine in ten callers, when it takes ten times as long: the share is exact, not always and not never."""
    draws = [should_refresh_early(make(load_time=1000.0), 100.0, 1.0, each / 1000) for each in range(1000)]
    assert sum(draws) / 1000 == pytest.approx(math.exp(-0.1), abs=0.002)


@given(
    st.floats(),
    st.floats(0, allow_nan=False),
    st.floats(0, 1),
    st.floats(0, 1e308),
)
@example(150.0, 1.0, 1.0, 0.5)
@example(150.0, math.inf, 0.0, 0.0)
def test_no_numbers_break_the_draw(now: float, beta: float, chance: float, load_time: float) -> None:
    """Infinite, huge and absent numbers give an answer; a chance of 1, which no port gives, does too."""
    assert should_refresh_early(make(load_time=load_time), now, beta, chance) in {True, False}


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 100), st.floats(0, 10), st.floats(0, 10))
def test_the_nearer_the_end_the_likelier(chance: float, earlier: float, beta: float, load_time: float) -> None:
    """Who refreshes at one instant would have at any later one."""
    frame = make(load_time=load_time)
    if should_refresh_early(frame, 200 - earlier, beta, chance):
        assert should_refresh_early(frame, 200 - earlier / 2, beta, chance)


def test_the_windows_begin_at_the_end_of_freshness() -> None:
    """Each allowance counts from `fresh_until`, its end is outside, and neither lends itself to the other."""
    leeway = Leeway(grace=30.0, stale_if_error=60.0)
    edges = [199.0, 229.9, 230.0, 259.9, 260.0]
    assert [leeway.within_grace(make(), now) for now in edges] == [True, True, False, False, False]
    assert [leeway.within_error_window(make(), now) for now in edges] == [True, True, True, True, False]
    assert not Leeway(grace=60.0, stale_if_error=30.0).within_error_window(make(), 230.0)


@given(ALLOWANCES, ALLOWANCES, st.floats(0, 1e9), st.floats(0, 1e9))
def test_nothing_is_served_past_the_hard_limit(
    grace: float, stale_if_error: float, fresh_until: float, now: float
) -> None:
    """Whatever is inside a window is inside the time for which Redis keeps the entry."""
    leeway, frame = Leeway(grace, stale_if_error), make(fresh_until=fresh_until)
    if leeway.within_grace(frame, now) or leeway.within_error_window(frame, now):
        assert now < fresh_until + leeway.extra


@pytest.mark.parametrize("now", [100.0, 199.9, 200.0, 300.0])
def test_without_an_allowance_nothing_stale_is_served(now: float) -> None:
    """Also before `fresh_until`, when the entry is stale because a tag was made so."""
    leeway = Leeway()
    assert not leeway.within_grace(make(), now)
    assert not leeway.within_error_window(make(), now)
    assert leeway.extra == 0


def test_an_entry_whose_end_was_overwritten_is_outside_the_windows() -> None:
    """The instant that the allowances count from is gone; serving the entry would be a guess."""
    leeway = Leeway(grace=1e6, stale_if_error=1e6)
    now = 1.7e9
    assert not leeway.within_grace(make(fresh_until=0.0), now)
    assert not leeway.within_error_window(make(fresh_until=0.0), now)


def test_allowances_are_checked() -> None:
    """They are durations like any other, and each is named in its error."""
    assert Leeway.of("30s", "1m") == Leeway(30.0, 60.0)
    assert Leeway.of() == Leeway()
    wrong: Any = None
    with pytest.raises(ConfigurationError, match="grace=-1"):
        Leeway.of(-1)
    with pytest.raises(ConfigurationError, match="stale_if_error=None"):
        Leeway.of(0, wrong)


@pytest.mark.parametrize(
    ("allowance", "pause"), [(0, 0), (0.2, 0.2), (0.5, 0.5), (3, 0.5), (5, 0.5), (60, 6), (100, 10), (86400, 10)]
)
def test_the_pause_after_a_failure_is_a_part_of_the_allowance(allowance: float, pause: float) -> None:
    """A source that is down is spared, and found again before the allowance is over."""
    assert retry_pause(allowance) == pytest.approx(pause)


def test_nobody_retries_during_the_pause() -> None:
    """The pause ends at its instant; an entry without one may be refreshed at any time."""
    frame = make(retry_at=150.0)
    assert [may_retry(frame, now) for now in (149.9, 150.0, 151.0)] == [False, True, True]
    assert may_retry(make(), 0.0)
