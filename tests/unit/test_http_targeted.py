"""Targeted cache control: the first field of the list that can be read decides, by values of the right type."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.policy.http.directives import LONGEST, ResponseDirectives, parse_response
from holdfast.policy.http.fields import Fields
from holdfast.policy.http.targeted import targeted

unhurried = settings(deadline=None)  # a busy machine is no failure
TARGETS = ("shop-cache-control", "cdn-cache-control")
DIRECTIVES = st.sampled_from(
    [
        *("no-store", "no-cache", "private", "public", "must-revalidate", "proxy-revalidate", "must-understand"),
        *("immutable", "max-age=60", "s-maxage=0", "stale-while-revalidate=5", "stale-if-error=600", "x=1", "y"),
    ]
)


def read(*lines: tuple[str, str]) -> ResponseDirectives | None:
    return targeted(Fields([("Cache-Control", "max-age=1"), *lines]), TARGETS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=60", {"max_age": 60}),
        ("max-age=60;x=1, no-store;y", {"max_age": 60, "no_store": True}),
        ("foobar, max-age=3600", {"max_age": 3600}),
        ("foobar", {}),
        ("max-age=1, max-age=60", {"max_age": 60}),
        ("max-age=99999999999", {"max_age": LONGEST}),
        ("max-age=-1", {"max_age": 0}),
        ("stale-if-error=-1", {}),
        ("s-maxage=5, stale-while-revalidate=6, stale-if-error=7",
         {"s_maxage": 5, "stale_while_revalidate": 6, "stale_if_error": 7}),
        ("no-store=?1", {"no_store": True}),
        ("no-store=?0, private=?0, no-cache=?0", {}),
        ('no-cache="set-cookie", private="a, b"', {"no_cache": True, "private": True}),
        ("no-cache=set-cookie", {"no_cache": True}),
    ],
)  # fmt: skip
def test_9213_2_1_directives_are_read_from_a_dictionary(value: str, expected: dict[str, int]) -> None:
    """The last of repeated ones counts, as in every Dictionary; parameters do not; qualified forms count as whole."""
    assert read(("CDN-Cache-Control", value)) == ResponseDirectives(**expected)


@pytest.mark.parametrize(
    "directive",
    [
        *('max-age="60"', "max-age=60.5", "max-age", "max-age=?1", "max-age=x", "max-age=(60)", "max-age=@60"),
        *("s-maxage=:aGk=:", "stale-while-revalidate", 'stale-if-error="5"', "no-store=1", "no-store=x", "private=1"),
        *("no-cache=(a)", "no-cache=1", 'public="x"', "immutable=1", "must-understand=()", 'must-revalidate=%"x"'),
    ],
)
def test_9213_2_1_a_value_of_the_wrong_type_is_not_consumed(directive: str) -> None:
    """That directive is as if it were not there; the others of the field are in force."""
    assert read(("CDN-Cache-Control", f"{directive}, x=1, s-maxage=7")) == ResponseDirectives(s_maxage=7)
    assert read(("CDN-Cache-Control", directive)) == ResponseDirectives()


@pytest.mark.parametrize(
    "value",
    ["", " ", "max-age =60", "max-age= 60", "MaX-aGe=60", "max-age=60, &&&&&", "max-age=60,", "max-age=\xe9"],
)
def test_9213_2_1_a_field_that_is_empty_or_unreadable_is_ignored(value: str) -> None:
    """It is as if it were not there: the next of the list is asked, or Cache-Control."""
    assert read(("CDN-Cache-Control", value)) is None
    assert read(("Shop-Cache-Control", value), ("CDN-Cache-Control", "private")) == ResponseDirectives(private=True)


def test_9213_2_2_the_first_of_the_list_decides_alone() -> None:
    """Nothing of a less specific field is mixed in, whatever the order of the lines."""
    lines = ("CDN-Cache-Control", "no-store, max-age=5"), ("SHOP-Cache-Control", "max-age=60")
    assert read(*lines) == ResponseDirectives(max_age=60)
    assert read(*lines[:1]) == ResponseDirectives(no_store=True, max_age=5)
    assert read() is None
    assert targeted(Fields(lines), ()) is None


def test_9651_4_2_lines_of_a_targeted_field_are_one_dictionary() -> None:
    """Several lines are joined before they are read."""
    lines = ("CDN-Cache-Control", "max-age=5"), ("cdn-cache-control", "max-age=60, private")
    assert read(*lines) == ResponseDirectives(max_age=60, private=True)


@unhurried
@given(st.lists(DIRECTIVES, min_size=1, unique_by=lambda text: text.partition("=")[0]))
def test_a_sound_field_says_the_same_in_both_syntaxes(directives: list[str]) -> None:
    """Nobody has to learn directives anew for a targeted field."""
    value = ", ".join(directives)
    assert read(("CDN-Cache-Control", value)) == parse_response(value)


@unhurried
@given(st.lists(DIRECTIVES | st.text(max_size=9)).map(", ".join) | st.text(max_size=30))
def test_any_text_is_read_or_ignored(value: str) -> None:
    """Nothing raises, and every time is in its range."""
    found = read(("CDN-Cache-Control", value))
    assert all(0 <= each <= LONGEST for each in found or () if each is not None)
