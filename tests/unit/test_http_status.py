"""Cache-Status: a member that every reader of Structured Fields can read, whatever it is made from."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.policy.http.dictionary import Token, parse_dictionary
from holdfast.policy.http.status import cache_status

unhurried = settings(deadline=None)  # a busy machine is no failure
LARGEST = 999_999_999_999_999
PARAMETER = re.compile(r';([a-z-]+)(?:=("(?:[^"\\]|\\.)*"|[^;"]+))?')
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "hit": st.booleans(),
        "fwd": st.none() | st.sampled_from(["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale"]),
        "fwd_status": st.none() | st.integers(100, 999),
        "stored": st.booleans(),
        "collapsed": st.booleans(),
        "ttl": st.none() | st.integers(),
        "key": st.none() | st.text(),
        "detail": st.none() | st.text(),
    },
)


def read(member: str) -> tuple[Any, dict[str, Any]]:
    """Read a member: its name and its parameters, each by the reader of Dictionaries."""
    name = re.match(r'"(?:[^"\\]|\\.)*"|[^;"]+', member)
    assert name is not None
    found: dict[str, Any] = {}
    place = name.end()
    while place < len(member):
        parameter = PARAMETER.match(member, place)
        assert parameter is not None
        assert parameter[1] not in found
        found[parameter[1]] = item(parameter[2]) if parameter[2] else True
        place = parameter.end()
    return item(name[0]), found


def item(text: str) -> Any:
    found = parse_dictionary(f"x={text}")
    assert found is not None
    return found["x"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ""),
        ({"hit": True}, ";hit"),
        ({"hit": True, "ttl": 376}, ";hit;ttl=376"),
        ({"hit": True, "ttl": -412}, ";hit;ttl=-412"),
        ({"ttl": 10**18}, ";ttl=999999999999999"),
        ({"ttl": -(10**18)}, ";ttl=-999999999999999"),
        ({"fwd": "uri-miss", "collapsed": True}, ";fwd=uri-miss;collapsed"),
        ({"fwd": "stale", "fwd_status": 304, "stored": True, "ttl": 0}, ";fwd=stale;fwd-status=304;stored;ttl=0"),
        ({"fwd": "miss", "key": "https://a.example/b?c=%20"}, ';fwd=miss;key="https://a.example/b?c=%20"'),
        ({"fwd": "bypass", "detail": "no-host"}, ";fwd=bypass;detail=no-host"),
        ({"detail": "a b"}, ';detail="a b"'),
        ({"key": ""}, ';key=""'),
        ({"detail": ""}, ';detail=""'),
        ({"key": 'a"b\\c'}, ';key="a\\"b\\\\c"'),
        ({"key": "/\xc3\xa9\r\n\x00\x7f"}, ';key="/%C3%A9%0D%0A%00%7F"'),
        ({"key": "\u20ac\ud800"}, ';key="%E2%82%AC%ED%A0%80"'),
        ({"hit": True, "fwd": "stale", "fwd_status": 200, "stored": True, "collapsed": True}, ";hit"),
        ({"fwd_status": 200, "stored": True, "collapsed": True}, ""),
    ],
)
def test_9211_2_a_member_has_its_parameters(options: dict[str, Any], expected: str) -> None:
    """Each in its type (2.1 to 2.8); a hit was not forwarded, and what came of forwarding needs a reason for it."""
    assert cache_status("holdfast", **options) == "holdfast" + expected


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("holdfast", "holdfast"),
        ("*edge/1:a", "*edge/1:a"),
        ("shop cache", '"shop cache"'),
        ("1st", '"1st"'),
        ("", '""'),
        ("a\r\nSet-Cookie: b", '"a%0D%0ASet-Cookie: b"'),
        ("caf\xe9", '"caf%E9"'),
        ("a\n", '"a%0A"'),
        ("a;hit", '"a;hit"'),
        ("a, b", '"a, b"'),
    ],
)
def test_9211_2_the_name_is_a_token_or_a_string(name: str, written: str) -> None:
    """Any name can be given, and none of them can end the member."""
    assert cache_status(name, hit=True) == f"{written};hit"


@unhurried
@given(st.text(), OPTIONS)
def test_any_member_is_sound_and_says_what_was_given(name: str, options: dict[str, Any]) -> None:
    """It is one line of printable ASCII, and a reader finds the parameters and no others."""
    member = cache_status(name, **options)
    assert member.isascii()
    assert member.isprintable()
    found_name, found = read(member)
    expected = {key.replace("_", "-") for key, value in options.items() if value is not None and value is not False}
    if options.get("hit") or options.get("fwd") is None:
        expected -= {"fwd", "fwd-status", "stored", "collapsed"}
    assert set(found) == expected
    assert isinstance(found_name, str | Token)
    for key in expected & {"ttl"}:
        assert found[key] == min(max(options[key], -LARGEST), LARGEST)
    for key in expected & {"fwd"}:
        assert found[key] == Token(options[key])
    assert isinstance(found.get("key", ""), str)
    key = options.get("key")
    assert key is None or not (key.isascii() and key.isprintable()) or found["key"] == key
