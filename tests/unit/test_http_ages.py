"""How old a response is, and for how long it is fresh and of use (RFC 9111, section 4.2; RFC 5861)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.ages import Freshness, age_at, allowance, freshness_of, kept_for
from holdfast.policy.http.fields import Fields, Pairs
from holdfast.policy.http.rules import Rules
from support.http_rfc import DAY, NOW, PAIRS, RESPONSES, RULE_SETS, RULES, Response, fields_of

YEAR = 365 * DAY
AIMED = Rules(targets=("my-cache-control", "cdn-cache-control"))
DELAYS = st.sampled_from([-3.0, 0.0, 0.25, 4.0])


def told(*lines: str, status: int = 200, rules: Rules = RULES, delay: float = 0.0, anonymous: bool = True) -> Freshness:
    """Return what a response says that was received at `NOW`."""
    return freshness_of(status, fields_of(*lines), NOW - delay, NOW, rules, anonymous=anonymous)


@pytest.mark.parametrize(
    ("lines", "lifetime"),
    [
        (["Cache-Control: max-age=60"], 60),
        (["Cache-Control: max-age=0"], 0),
        (["Cache-Control: max-age=60, s-maxage=5", "Expires: @+900"], 5),
        (["Cache-Control: s-maxage=90, max-age=60"], 90),
        (["Cache-Control: s-maxage=0, max-age=60"], 0),
        (["Cache-Control: max-age=60", "Expires: @-900"], 60),
        (["Cache-Control: max-age=x", "Expires: @+900"], 0),
        (["Cache-Control: max-age=60", "Cache-Control: max-age=50"], 50),
        (["Expires: @+30"], 30),
        (["Expires: @+30", "Date: @-10"], 40),
        (["Expires: @+30", "Date: @+10"], 20),
        (["Expires: @+30", "Date: @+40"], 0),
        (["Expires: @+30", "Date: yesterday"], 30),
        (["Expires: @+30", "Date: @-10", "Date: @-20"], 30),
        (["Expires: @-30"], 0),
        (["Expires: 0"], 0),
        (["Expires: -1"], 0),
        (["Expires: "], 0),
        (["Expires: @+30", "Expires: @+30"], 0),
        (["Cache-Control: public", "Expires: @+30"], 30),
        (["Cache-Control: no-cache, max-age=60"], 60),
    ],
)
def test_9111_4_2_1_the_first_that_is_there_counts(lines: list[str], lifetime: float) -> None:
    """In turn: s-maxage, max-age, Expires less Date. What is malformed or repeated is stale, and not passed over."""
    found = told(*lines)
    assert (found.lifetime, found.explicit) == (lifetime, True)


@pytest.mark.parametrize(
    ("status", "lines", "lifetime"),
    [
        (200, ["Last-Modified: @-100"], 10),
        (200, ["Last-Modified: @-100", "Date: @-50"], 5),
        (200, ["Last-Modified: @-100", "Cache-Control: must-revalidate"], 10),
        (200, ["Last-Modified: @-99999999"], DAY),
        (200, ["Last-Modified: @-0"], 0),
        (200, ["Last-Modified: @+100"], 0),
        (200, ["Last-Modified: @-100", "Date: @-200"], 0),
        (200, ["Last-Modified: yesterday"], 0),
        (200, ["ETag: x"], 0),
        (200, ["Cache-Control: public"], 0),
        *[(status, ["Last-Modified: @-100"], 10) for status in (203, 204, 300, 301, 308, 404, 405, 410, 414, 501)],
        *[(status, ["Last-Modified: @-100"], 0) for status in (201, 302, 303, 307, 400, 403, 500, 503, 299)],
        (302, ["Last-Modified: @-100", "Cache-Control: public"], 10),
    ],
)
def test_9111_4_2_2_a_tenth_of_what_is_known_is_guessed(status: int, lines: list[str], lifetime: float) -> None:
    """For a day at most, and for the statuses of RFC 9110, 15.1, or what says it is public; never without a date."""
    found = told(*lines, status=status)
    assert (found.lifetime, found.explicit) == (lifetime, False)


def test_9111_4_2_2_nothing_is_guessed_for_one_user_or_against_the_rules() -> None:
    """Nor is the owner's own time given to what is one user's, or to anything but a 200 that is not no-cache."""
    line, rules = "Last-Modified: @-100", Rules(default_ttl=7, heuristic=False)
    assert told(line, anonymous=False).lifetime == 0
    assert told(line, rules=Rules(heuristic=False)).lifetime == 0
    assert told(rules=rules).lifetime == told(line, rules=rules).lifetime == 7
    assert told("Last-Modified: @+1", rules=Rules(default_ttl=7)).lifetime == 7
    assert told(rules=rules, anonymous=False).lifetime == 0
    assert told(rules=rules, status=404).lifetime == 0
    assert told("Cache-Control: no-cache", rules=rules).lifetime == 0
    assert told("Cache-Control: max-age=0", rules=rules).lifetime == 0
    assert told("Expires: 0", rules=rules).lifetime == 0


@pytest.mark.parametrize(
    ("lines", "delay", "age"),
    [
        ([], 0, 0),
        ([], 5, 0),
        (["Date: @-10"], 0, 10),
        (["Date: @-10"], 5, 10),
        (["Date: @+10"], 0, 0),
        (["Age: 7"], 0, 7),
        (["Age: 7"], 5, 12),
        (["Age: 7"], -5, 7),
        (["Age: 7", "Date: @+10"], 0, 7),
        (["Age: 7", "Date: @-10"], 0, 10),
        (["Age: 7", "Date: @-10"], 5, 12),
        (["Age: 7, 9"], 0, 7),
        (["Age: 7", "Age: 9"], 0, 7),
        (["Age: , 7"], 0, 7),
        (["Age: x, 7"], 0, 0),
        (["Age: -7"], 5, 0),
        (["Age: 7.5"], 0, 0),
        (["Age: "], 0, 0),
        (["Age: " + "9" * 5000], 0, 2**31),
    ],
)
def test_9111_4_2_3_a_response_may_be_old_when_it_comes(lines: list[str], delay: float, age: float) -> None:
    """The larger counts of what its Date tells and of its Age with the time on the way; an Age that is none is not."""
    assert told(*lines, delay=delay).initial_age == age


def test_9111_4_2_3_age_grows_with_time_and_never_goes_back() -> None:
    """Where a clock has been set back, a response is as old as when it came."""
    assert age_at(7.0, NOW, NOW + 3) == 10
    assert age_at(7.0, NOW, NOW) == age_at(7.0, NOW, NOW - 1000) == 7


def test_9213_2_2_a_targeted_field_takes_the_place_of_the_others() -> None:
    """Of Cache-Control and of Expires altogether, but not of Age; the first in the list counts that can be read."""
    lines = "Cache-Control: max-age=60, must-revalidate", "Expires: @+30", "Age: 3"
    found = told(*lines, "CDN-Cache-Control: max-age=5", rules=AIMED)
    assert (found.lifetime, found.targeted, found.may_be_stale, found.initial_age) == (5, True, True, 3)
    assert told(*lines, "CDN-Cache-Control: max-age=5", "My-Cache-Control: max-age=6", rules=AIMED).lifetime == 6
    assert told(*lines, "CDN-Cache-Control: max-age=5", "My-Cache-Control: max-age=;", rules=AIMED).lifetime == 5
    silent = told("Expires: @+30", "CDN-Cache-Control: public", rules=AIMED)
    assert (silent.lifetime, silent.explicit, silent.targeted) == (0, False, True)
    none = told(*lines, "CDN-Cache-Control: max-age=5", rules=Rules(targets=()))
    assert (none.lifetime, none.targeted) == (60, False)


@pytest.mark.parametrize("said", ["must-revalidate", "proxy-revalidate", "no-cache", 'no-cache="a"', "s-maxage=9"])
def test_9111_4_2_4_some_responses_are_never_stale(said: str) -> None:
    """So there is no time in which they are of use beyond their freshness, whatever else they say."""
    found = told(f"Cache-Control: max-age=60, stale-while-revalidate=50, stale-if-error=70, {said}")
    assert not found.may_be_stale
    assert allowance(found, Rules(stale_if_raises=500)) == 0


@pytest.mark.parametrize(
    ("said", "raises", "seconds"),
    [
        ("max-age=60", 0, 0),
        ("max-age=60", 300, 300),
        ("max-age=60, stale-while-revalidate=50", 0, 50),
        ("max-age=60, stale-while-revalidate=50, stale-if-error=70", 0, 70),
        ("max-age=60, stale-while-revalidate=80, stale-if-error=70", 75, 80),
        ("max-age=60, stale-while-revalidate=80, stale-if-error=70", 90, 90),
        ("max-age=0", 300, 0),
        ("max-age=0, stale-while-revalidate=50", 300, 50),
    ],
)
def test_5861_3_and_4_stale_responses_are_of_use_for_a_time(said: str, raises: float, seconds: float) -> None:
    """The longest of stale-while-revalidate, stale-if-error and the owner's time counts, this for what was fresh."""
    assert allowance(told(f"Cache-Control: {said}"), Rules(stale_if_raises=raises)) == seconds


@pytest.mark.parametrize(
    ("lines", "validator", "seconds"),
    [
        (["Cache-Control: max-age=60"], False, 60),
        (["Cache-Control: max-age=60", "Age: 20"], False, 40),
        (["Cache-Control: max-age=60, stale-while-revalidate=5"], False, 65),
        (["Cache-Control: max-age=0, stale-while-revalidate=5"], False, 5),
        (["Cache-Control: max-age=0, stale-if-error=5"], False, 5),
        (["Cache-Control: max-age=0"], False, 0),
        ([], False, 0),
        ([], True, 3600),
        (["Cache-Control: no-cache"], True, 3600),
        (["Cache-Control: max-age=60"], True, 60 + 3600),
        (["Cache-Control: max-age=60", "Age: 20"], True, 40 + 3600),
        (["Cache-Control: max-age=7200"], True, 2 * 7200),
        (["Cache-Control: max-age=200000"], True, 200000 + DAY),
        (["Cache-Control: max-age=60, stale-while-revalidate=9000"], True, 9060),
        (["Cache-Control: max-age=99999999"], False, YEAR),
        (["Cache-Control: max-age=99999999"], True, YEAR),
    ],
)
def test_what_is_of_use_is_kept(lines: list[str], validator: bool, seconds: float) -> None:
    """While it is fresh, may be served stale, or can be validated; for a year at most."""
    assert kept_for(told(*lines), Rules(stale_if_raises=0), validator=validator) == seconds


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: no-cache, max-age=60"],
        ["Cache-Control: max-age=60", "Age: 1000"],
        ["Cache-Control: max-age=60, stale-while-revalidate=100", "Age: 160"],
    ],
)
def test_what_can_never_be_served_is_not_kept(lines: list[str]) -> None:
    """Storing it would cost a write, and make others wait for nothing."""
    assert kept_for(told(*lines), Rules(stale_if_raises=50), validator=False) == 0


@given(RESPONSES, DELAYS, RULE_SETS, st.booleans())
def test_9111_4_2_agrees_with_the_model(said: Response, delay: float, rules: Rules, anonymous: bool) -> None:
    """Lifetime, age, and whether it may be stale are what RFC 9111 says of any response."""
    found = freshness_of(said.status, fields_of(*said.lines), NOW - delay, NOW, rules, anonymous=anonymous)
    assert found.lifetime == said.lifetime(rules, anonymous=anonymous)
    assert found.explicit == (said.explicit(rules) is not None)
    assert found.initial_age == said.initial_age(max(0.0, delay))
    assert found.may_be_stale != said.forbids_stale(rules)
    assert found.targeted == (bool(rules.targets) and said.aimed is not None)
    assert found.date == NOW + (said.date or 0)


@given(PAIRS, st.integers(-1, 1000), RULE_SETS, DELAYS)
def test_any_text_has_an_age_and_a_lifetime(pairs: Pairs, status: int, rules: Rules, delay: float) -> None:
    """Neither is negative or endless, and what is kept is kept while it is fresh."""
    found = freshness_of(status, Fields(pairs), NOW - delay, NOW, rules)
    assert 0 <= found.lifetime < math.inf
    assert 0 <= found.initial_age < math.inf
    for validator in (False, True):
        left = 0 if found.directives.no_cache else min(found.lifetime - found.initial_age, YEAR)
        assert max(0, left) <= kept_for(found, rules, validator=validator) <= YEAR
