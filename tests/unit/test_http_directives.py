"""Cache-Control: each directive is found where it is one, nowhere else, and what is doubtful permits less."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.policy.http.directives import (
    LONGEST,
    RequestDirectives,
    ResponseDirectives,
    delta_seconds,
    parse_request,
    parse_response,
)

unhurried = settings(deadline=None)  # a busy machine is no failure
NAMES = [
    *("no-store", "no-cache", "private", "public", "must-revalidate", "proxy-revalidate", "must-understand"),
    *("immutable", "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error", "max-stale", "min-fresh"),
    *("only-if-cached", "no-transform", "unknown"),
]
SOUND = st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "=0", "=60", '="60"', "=x", '="a, b"'])).map("".join)
VALUES = st.lists(SOUND | st.text(st.sampled_from('a1=,"\\ ') | st.characters(), max_size=8)).map(", ".join)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("60", 60),
        ("0060", 60),
        ("0" * 5000 + "7", 7),
        ("2147483647", LONGEST - 1),
        ("2147483648", LONGEST),
        ("2147483649", LONGEST),
        ("99999999999", LONGEST),
        ("9" * 5000, LONGEST),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1e3", None),
        ("1_000", None),
        (" 1", None),
        ("1\n", None),
        ("0x10", None),
        ("\u0661", None),
        ("\xb2", None),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_9111_1_2_2_seconds_are_digits_of_any_number(text: str, seconds: int | None) -> None:
    """Too many are for ever, nothing else than ASCII digits counts, and int()'s limit on length is not met."""
    assert delta_seconds(text) == seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {}),
        ("", {}),
        (" , ,", {}),
        ("no-store", {"no_store": True}),
        ("no-cache", {"no_cache": True}),
        ("private", {"private": True}),
        ("public", {"public": True}),
        ("must-revalidate", {"must_revalidate": True}),
        ("proxy-revalidate", {"proxy_revalidate": True}),
        ("must-understand", {"must_understand": True}),
        ("immutable", {"immutable": True}),
        ("max-age=60", {"max_age": 60}),
        ("s-maxage=61", {"s_maxage": 61}),
        ("stale-while-revalidate=62", {"stale_while_revalidate": 62}),
        ("stale-if-error=63", {"stale_if_error": 63}),
        ("Public, MAX-AGE=60 ,\tNo-Store", {"public": True, "max_age": 60, "no_store": True}),
        ("no-transform, community=UCI, max-age=60", {"max_age": 60}),
        ("max-agee=60, xmax-age=60, no-storey", {}),
    ],
)
def test_9111_5_2_2_response_directives_are_read(value: str | None, expected: dict[str, int]) -> None:
    """Every directive by its name in any case; unknown ones are ignored (5.2.3)."""
    assert parse_response(value) == ResponseDirectives(**expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('max-age="60"', {"max_age": 60}),
        ('max-age="6\\0"', {"max_age": 60}),
        ('private="a, b", max-age=60', {"private": True, "max_age": 60}),
        ("no-cache=set-cookie", {"no_cache": True}),
        ('no-cache="set-cookie"', {"no_cache": True}),
        ('ext="max-age=3600", max-age=1', {"max_age": 1}),
        ('max-age=1, ext="max-age=0"', {"max_age": 1}),
        ('ext="a, no-store, b"', {}),
        ('ext="\\", no-store", public', {"public": True}),
        ('"no-store"', {}),
        ("no-store=1", {"no_store": True}),
        ('public="yes"', {"public": True}),
        ("no-store =", {"no_store": True}),
        ('ext="a, no-store', {"no_store": True}),
    ],
)
def test_9111_5_2_arguments_are_tokens_or_quoted_strings(value: str, expected: dict[str, int]) -> None:
    """Both forms mean the same; no directive is found inside one; one that takes none counts in spite of it.

    Qualified forms count as unqualified ones (5.2.2.4, 5.2.2.7).
    """
    assert parse_response(value) == ResponseDirectives(**expected)


@pytest.mark.parametrize(
    "argument",
    [
        *("", "=", "=-1", "=60.0", "=60.5", "='60'", "=a60", "=60a", "=1 2", "=60;x"),
        *("= 60", " =60", " = 60", '="60', '="60"x', '=" 60"'),
    ],
)
@pytest.mark.parametrize("name", ["max-age", "s-maxage"])
def test_9111_4_2_1_a_lifetime_that_is_no_number_is_over(name: str, argument: str) -> None:
    """Invalid freshness makes a response stale; no part of it is taken for the number."""
    assert parse_response(f"{name}{argument}") == ResponseDirectives(**{name.replace("-", "_"): 0})


@pytest.mark.parametrize("argument", ["", "=", "=-1", "=1.5", "= 60", "=x"])
@pytest.mark.parametrize("name", ["stale-while-revalidate", "stale-if-error"])
def test_5861_a_stale_time_that_is_no_number_is_not_there(name: str, argument: str) -> None:
    """Nothing is served stale because of a directive that cannot be read (RFC 5861)."""
    assert parse_response(f"{name}{argument}") == ResponseDirectives()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=1800, max-age=1", {"max_age": 1}),
        ("max-age=1, max-age=1800", {"max_age": 1}),
        ("max-age=60, max-age=x", {"max_age": 0}),
        ("s-maxage=60, S-MaxAge=30", {"s_maxage": 30}),
        ("stale-if-error=5, stale-if-error=3", {"stale_if_error": 3}),
        ("stale-if-error=x, stale-if-error=3", {"stale_if_error": 3}),
        ("stale-while-revalidate=5, stale-while-revalidate=3", {"stale_while_revalidate": 3}),
        ("public, private", {"public": True, "private": True}),
    ],
)
def test_9111_4_2_1_of_several_the_most_restrictive_counts(value: str, expected: dict[str, int]) -> None:
    """Where directives are repeated the least time wins, in either order; all that contradict each other are told."""
    assert parse_response(value) == ResponseDirectives(**expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("no-store", {"no_store": True}),
        ("No-Cache", {"no_cache": True}),
        ("only-if-cached", {"only_if_cached": True}),
        ("max-age=0", {"max_age": 0}),
        ('max-age="5"', {"max_age": 5}),
        ("max-age=x", {"max_age": 0}),
        ("max-age=9, max-age=5", {"max_age": 5}),
        ("min-fresh=5, min-fresh=9", {"min_fresh": 9}),
        ("min-fresh=x", {}),
        ("max-stale", {"max_stale": LONGEST}),
        ("max-stale=5", {"max_stale": 5}),
        ("max-stale, max-stale=5", {"max_stale": 5}),
        ("max-stale=5, max-stale", {"max_stale": 5}),
        ("max-stale=x", {}),
        ("max-stale=", {}),
        ("max-stale =5", {}),
        ("stale-if-error=60", {"stale_if_error": 60}),
        ("no-transform, private, s-maxage=5, unknown", {}),
        ('ext="no-cache, only-if-cached"', {}),
    ],
)
def test_9111_5_2_1_request_directives_are_read(value: str, expected: dict[str, int]) -> None:
    """Each has its effect; doubtful ones make a cache answer from its store less, not more."""
    assert parse_request(value, None) == RequestDirectives(**expected)


@pytest.mark.parametrize(
    ("cache_control", "pragma", "no_cache"),
    [
        (None, None, False),
        (None, "no-cache", True),
        (None, "x, No-Cache", True),
        (None, "no-cachex", False),
        (None, 'x="no-cache"', False),
        (None, "max-age=0", False),
        ("", "no-cache", False),
        ("max-stale=5", "no-cache", False),
        ("no-cache", None, True),
    ],
)
def test_9111_5_4_pragma_counts_where_there_is_no_cache_control(
    cache_control: str | None, pragma: str | None, no_cache: bool
) -> None:
    """Clients of HTTP/1.0 know nothing else, and in the others' requests it means nothing."""
    assert parse_request(cache_control, pragma).no_cache is no_cache
    assert parse_request(cache_control, pragma).max_age is None


@unhurried
@given(VALUES)
def test_any_text_is_read_as_directives(value: str) -> None:
    """Nothing raises, and every time is in its range."""
    for directives in (parse_response(value), parse_request(value, None), parse_request(None, value)):
        times = [each for each in directives if each is not None and not isinstance(each, bool)]
        assert all(0 <= time <= LONGEST for time in times)


@unhurried
@given(VALUES)
def test_nothing_hides_a_directive_behind_it(value: str) -> None:
    """A `no-store` at the end counts whatever stands before, unclosed quotes among it."""
    assert parse_response(f"{value}, no-store").no_store
    assert parse_request(f"{value},no-cache", None).no_cache


@unhurried
@given(st.lists(SOUND).flatmap(lambda parts: st.tuples(st.just(parts), st.permutations(parts))))
def test_9111_5_2_order_and_case_do_not_matter(orders: tuple[list[str], list[str]]) -> None:
    """The same directives in another order, in capitals, and with empty members among them say the same."""
    parts, shuffled = orders
    assert parse_response(",\t ,".join(shuffled).upper()) == parse_response(", ".join(parts))
    assert parse_request(",,".join(shuffled).upper(), None) == parse_request(", ".join(parts), None)
