"""Fields of a message: found by name, split where a list is split, and sifted for storage, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.policy.http.fields import HOP_BY_HOP, Fields, declared_length, is_sound, is_token, members, storable

unhurried = settings(deadline=None)  # a busy machine is no failure
ODD = st.text(st.sampled_from('a=1,"\\ \t;') | st.characters(), max_size=40)
QUOTED = st.text('a,\t ="', max_size=6).map(lambda text: '"' + text.replace('"', '\\"').replace("=", "\\\\") + '"')
PAIRS = st.lists(st.tuples(st.sampled_from(["A", "a", "b", "Connection", "X y", ""]) | st.text(max_size=4), ODD))
TCHAR = set("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
RESPONSE = (
    ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("cache-control", "max-age=60"),
    ("Set-Cookie", "a=1"),
    ("Cache-Control", " public\t"),
    ("set-cookie", "b=2"),
    ("X-Empty", ""),
)


def test_9110_5_3_lines_of_a_field_are_joined_in_their_order() -> None:
    """Several lines are one list, and the case of their names does not matter (9110, 5.1, 5.3)."""
    fields = Fields(iter(RESPONSE))
    assert fields.get("cache-control") == "max-age=60, public"
    assert fields.lines("set-cookie") == ("a=1", "b=2")
    assert fields.pairs == RESPONSE


def test_9110_5_5_space_around_a_line_is_not_of_its_value() -> None:
    """The space is off before anybody evaluates a value, and still there in what was received."""
    fields = Fields([("Vary", "\t Accept "), ("Vary", " Cookie")])
    assert fields.get("vary") == "Accept, Cookie"
    assert fields.lines("vary") == ("Accept", "Cookie")
    assert fields.pairs[0] == ("Vary", "\t Accept ")


def test_an_absent_field_is_told_from_an_empty_one() -> None:
    """None is for a field that is not there; an empty one is there."""
    fields = Fields(RESPONSE)
    assert (fields.get("x-empty"), fields.get("age")) == ("", None)
    assert ("x-empty" in fields, "age" in fields) == (True, False)
    assert (fields.lines("x-empty"), fields.lines("age")) == (("",), ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        (" , ,\t,", []),
        ("a", ["a"]),
        ("foo ,bar,charlie ", ["foo", "bar", "charlie"]),
        (",foo,, ,bar", ["foo", "bar"]),
        ("a b, c\td", ["a b", "c\td"]),
        ('a="x, y", b', ['a="x, y"', "b"]),
        ('"a, b","c"', ['"a, b"', '"c"']),
        ('a="\\", b", c', ['a="\\", b"', "c"]),
        ('a="\\\\", b', ['a="\\\\"', "b"]),
        ('"a" b, c', ['"a" b', "c"]),
        ('a"b, no-store', ['a"b', "no-store"]),
        ('x, a="b, c, no-store', ["x", 'a="b', "c", "no-store"]),
        ('a="b\\", no-store', ['a="b\\"', "no-store"]),
        ('a="b, c\\', ['a="b', "c\\"]),
        ('"a,b", "c, d', ['"a,b"', '"c', "d"]),
        ('a="é\n\x00,", b', ['a="é\n\x00,"', "b"]),
    ],
)
def test_9110_5_6_1_lists_are_split_outside_quoted_strings(value: str, expected: list[str]) -> None:
    """Empty members do not count (5.6.1.2), a quoted string is one piece (5.6.4), and an unclosed one is no string."""
    assert members(value) == expected


def split_by_hand(value: str) -> list[str]:
    pieces, quoted, escaped = [""], False, False
    for sign in value:
        if sign == "," and not quoted:
            pieces.append("")
            continue
        pieces[-1] += sign
        quoted ^= sign == '"' and not escaped
        escaped = quoted and sign == "\\" and not escaped
    return [piece.strip(" \t") for piece in pieces if piece.strip(" \t")]


@unhurried
@given(st.lists(QUOTED | st.text("a =\\,", max_size=6)))
def test_9110_5_6_4_a_list_is_split_as_by_hand(parts: list[str]) -> None:
    """Reading sign by sign, with a memory of quotes and escapes, gives the same members."""
    value = "".join(parts)
    assert members(value) == split_by_hand(value)


@unhurried
@given(ODD)
def test_any_text_is_split_without_loss(value: str) -> None:
    """Nothing raises, and all that is lost are commas and space."""
    found = members(value)
    kept = "".join(found).replace(" ", "").replace("\t", "").replace(",", "")
    assert kept == value.replace(" ", "").replace("\t", "").replace(",", "")
    assert all(member.strip(" \t") == member != "" for member in found)


@pytest.mark.parametrize("sign", ['"', '"\\', '\\"', '""', ',"', '"\\"'], ids=ascii)
def test_a_long_malformed_list_is_split_in_linear_time(sign: str) -> None:
    """A megabyte of quotes and escapes is as quick as any other: in quadratic time this test would take hours."""
    value = 'a="' + sign * 500_000 + "\\"
    assert len("".join(members(value)).replace(",", "")) == len(value.replace(",", ""))


@unhurried
@given(st.text(max_size=8) | st.text(sorted(TCHAR), max_size=8))
def test_9110_5_6_2_a_token_has_its_signs_and_at_least_one(text: str) -> None:
    """Nothing but the signs of a token passes, a newline at the end least of all."""
    assert is_token(text) == (bool(text) and set(text) <= TCHAR)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("X-Any", "", True),
        ("X-Any", "caf\xe9 \t\x01 \x7f \xff", True),
        ("X-Any", "a\r\nSet-Cookie: b", False),
        ("X-Any", "a\n", False),
        ("X-Any", "a\r", False),
        ("X-Any", "\x00", False),
        ("X-Any", "\u0100", False),
        ("X-Any", "\U0010ffff", False),
        ("X-Any", "\ud800", False),
        ("", "a", False),
        ("X Any", "a", False),
        ("X:", "a", False),
        ("X\n", "a", False),
        ("\xe9", "a", False),
    ],
)
def test_9110_5_5_a_sound_field_is_one_line_of_latin1(name: str, value: str, expected: bool) -> None:
    """What could end the line, or cannot be sent, is not sound."""
    assert is_sound(name, value) is expected


@pytest.mark.parametrize(
    "name",
    [
        *("Connection", "keep-alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "PROXY-AUTHORIZATION"),
        *("Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade"),
    ],
)
def test_9111_3_1_fields_of_a_connection_or_a_proxy_are_not_stored(name: str) -> None:
    """They are about another hop than the one on which the response is used again."""
    assert storable(Fields([("A", "1"), (name, "x"), ("B", "2")])) == (("A", "1"), ("B", "2"))


def test_9111_3_1_fields_that_connection_names_are_not_stored() -> None:
    """They are named on one line or several, in any case."""
    pairs = [("Connection", "close, X-Hop"), ("x-hop", "1"), ("X-Kept", "2"), ("connection", ",Other"), ("OTHER", "3")]
    assert storable(Fields(pairs)) == (("X-Kept", "2"),)


@pytest.mark.parametrize(
    "name",
    [
        *("RateLimit", "ratelimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
        *("X-RateLimit-Limit", "x-ratelimit-remaining", "X-RateLimit-Reset", "X-Rate-Limit-Remaining"),
    ],
)
def test_what_is_left_of_a_clients_quota_is_not_stored(name: str) -> None:
    """Another client would take it for its own; names that only look alike stay."""
    pairs = (("A", "1"), ("X-Rate", "7"), ("RateLimits", "8"))
    assert storable(Fields([*pairs[:1], (name, "x"), *pairs[1:]])) == pairs


def test_9111_3_1_the_rest_is_stored_as_received() -> None:
    """Order, duplicates, case and space stay; so do Age, Content-Length, Trailer and fields that nobody knows."""
    pairs = (*RESPONSE, ("Age", "1"), ("Content-Length", "7"), ("Trailer", "X-Sum"), ("x-NEW", "\xe9"))
    assert storable(Fields(pairs)) == pairs


def test_unsound_fields_are_not_stored() -> None:
    """What could not be sent is left out, and its neighbours are kept."""
    pairs = [("A", "1"), ("B", "2\r\nC: 3"), ("D E", "4"), ("F", "\u20ac"), ("G", "5")]
    assert storable(Fields(pairs)) == (("A", "1"), ("G", "5"))


@unhurried
@given(PAIRS)
def test_any_fields_are_read_and_sifted(pairs: list[tuple[str, str]]) -> None:
    """Nothing raises; what is stored can be sent; names are found whatever their case."""
    fields = Fields(pairs)
    kept = storable(fields)
    assert all(is_sound(name, value) and name.lower() not in HOP_BY_HOP for name, value in kept)
    assert [pair for pair in pairs if pair in kept] == list(kept)
    for name, _ in pairs:
        assert fields.get(name.lower()) == ", ".join(fields.lines(name.lower()))
        assert name.lower() in fields


def test_lengths() -> None:
    """Only a plain number says how long a body is."""
    for value, length in (("12", 12), (" 3 ", 3), ("-1", None), ("x", None), ("\u00b2", None), ("", None)):
        assert declared_length((("content-LENGTH", value),)) == length
    assert declared_length(()) is None
