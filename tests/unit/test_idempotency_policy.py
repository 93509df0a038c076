"""How requests that are to be done once are told apart, and what of their responses is kept."""

from __future__ import annotations

from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.dictionary import parse_item
from holdfast.policy.idempotency import (
    fingerprint_of,
    is_outcome,
    kept_fields,
    name_of,
    parse_key,
    told_cookies,
)
from holdfast.policy.idempotency_problem import _PROBLEMS, problem

FIELD = st.text(st.sampled_from('"\\;=a b:*?1.é,\t'), max_size=12) | st.text(max_size=20)
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)


def _reads(text: str) -> Any:
    try:
        return http_sf.parse(text.encode(), tltype="item")[0]
    except Exception:
        return None


@given(FIELD | FIELD.map(lambda text: f'"{text}"') | FIELD.map(lambda text: f'"a";{text}'))
def test_keys_in_quotes_are_those_of_an_independent_reader(text: str) -> None:
    """What it reads as a String is the key, and what it does not read, or as something else, is none."""
    value = text.strip(" \t")  # as a server takes it from the field (RFC 9110, 5.5)
    found = _reads(value)
    key = found if type(found) is str and 0 < len(found) <= 255 else None
    assert parse_key(value, strict=True) == (key if value.startswith('"') else None)


@given(PRINTABLE)
def test_every_key_can_be_sent(key: str) -> None:
    """As a String, strict or not."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_key(f'"{escaped}"', strict=True) == parse_key(f' "{escaped}";a;b=1 ', strict=False) == key


@given(FIELD)
def test_a_bare_key_is_one_word(text: str) -> None:
    """What is no String is its own key, if it cannot be mistaken for several lines or for parameters."""
    key = parse_key(text, strict=False)
    if key is not None and not text.strip().startswith('"'):
        assert key == text.strip(" \t")
        assert key.isascii()
        assert not set(key) & set(' ",;\\\t')


def test_items() -> None:
    """An Item is read as a whole or not at all."""
    assert parse_item('"a";b=1;c') == "a"
    assert [parse_item(text) for text in ('"a" b', '"a",', '"a";', "", '"a', '"a";B')] == [None] * 6


PARTS = st.lists(st.text(max_size=5), min_size=5, max_size=5)


@given(PARTS, PARTS, st.text(max_size=3), st.text(max_size=3))
def test_names_differ_whenever_a_part_does(one: list[str], two: list[str], key: str, other: str) -> None:
    """However texts are cut into parts; a name shows nothing of them."""
    assert (name_of(*one, key=key) == name_of(*two, key=other)) == (one == two and key == other)
    assert len(name_of(*one, key=key)) == len("http:") + 64


def test_fingerprints_differ_whenever_a_part_does() -> None:
    """Nothing of one part can pass for another."""
    asked = [("a", "b", b"c"), ("ab", "", b"c"), ("", "ab", b"c"), ("a", "", b"bc"), ("a", "b", b"")]
    assert len({fingerprint_of(*each) for each in asked}) == len(asked)
    assert fingerprint_of("\udcff", "", b"") != fingerprint_of("", "", b"")


def test_fields_that_are_not_kept() -> None:
    """Those of one client, of one message, of the connection, and those that may not stand in a message."""
    fields = (
        ("Set-Cookie", "a"),
        ("date", "b"),
        ("Connection", "X-Hop"),
        ("X-Hop", "c"),
        ("Transfer-Encoding", "chunked"),
        ("Idempotency-Replayed", "true"),
        ("Content-Type", "text/plain"),
        ("X-A", "1"),
        ("X-A", "2"),
        ("X-Bad", "a\r\nb"),
        ("Content-Length", "3"),
        ("RateLimit", '"day";r=1'),
        ("ratelimit-policy", '"day";q=9'),
        ("X-RateLimit-Remaining", "1"),
    )
    assert kept_fields(fields) == (("Content-Type", "text/plain"), ("X-A", "1"), ("X-A", "2"), ("Content-Length", "3"))


@pytest.mark.parametrize(
    ("status", "kept", "kept_errors"),
    [(200, True, True), (404, True, True), (429, False, False), (500, False, True), (503, False, True)],
)
def test_outcomes(status: int, kept: bool, kept_errors: bool) -> None:
    """What is a result, and what may go well another time."""
    assert (is_outcome(status, keep_errors=False), is_outcome(status, keep_errors=True)) == (kept, kept_errors)


def test_failures_that_say_when_to_try_again() -> None:
    """They are no results, whatever their status, and a success that says when to look is one."""
    later = (("retry-after", "1"),)
    assert [is_outcome(status, later, keep_errors=False) for status in (202, 303, 409, 423, 503)] == [
        True,
        True,
    ] + 3 * [False]
    assert is_outcome(503, later, keep_errors=True)


def test_cookies() -> None:
    """In one order, and without those that scripts change."""
    assert told_cookies("b=2; a=1;; _ga=3 ;_gid=4;_gidget=5") == "_gidget=5;a=1;b=2"
    assert told_cookies("") == ""


@pytest.mark.parametrize("name", ["_gallery_session", "_gateway", "_hjelp_session", "_uetlib", "_gcl", "_ga_session"])
def test_cookies_whose_names_only_begin_like_those(name: str) -> None:
    """They count: many apps call their session by a name behind an underscore."""
    assert told_cookies(f"{name}=alice") == f"{name}=alice"


@pytest.mark.parametrize(
    "name",
    [
        "_ga",
        "_ga_B1C2",
        "_gid",
        "_gat_UA-1-2",
        "_gcl_au",
        "_fbp",
        "_hjSession_123",
        "_pk_id.1.1fff",
        "__utma",
        "_uetsid",
    ],
)
def test_cookies_that_count_visitors(name: str) -> None:
    """They are known by their whole names."""
    assert told_cookies(f"{name}=1") == told_cookies(name) == ""


@pytest.mark.parametrize("kind", _PROBLEMS)
def test_problems_are_whole_sentences(kind: Any) -> None:
    """Each has a type of its own, a title, a status, and says what to do; nothing is left to fill in."""
    details = problem(kind, "X-Once", 100)
    assert details["type"] == f"tag:holdfast,2026:idempotency-{kind}"
    assert 400 <= details["status"] <= 503
    assert "{" not in details["title"] + details["detail"]
    assert details["detail"].endswith(".")
