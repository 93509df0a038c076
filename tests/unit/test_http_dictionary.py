"""Dictionaries of Structured Fields: what the RFC lets be written is read, and the rest makes the field unreadable."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.policy.http.dictionary import BareItem, Date, DisplayString, Item, Token, parse_dictionary

unhurried = settings(deadline=None)  # a busy machine is no failure
LARGEST = 999_999_999_999_999
INTEGERS = st.integers(-LARGEST, LARGEST)
DECIMALS = st.integers(-LARGEST, LARGEST).map(lambda thousandths: thousandths / 1000)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
TOKENS = st.from_regex(r"\A[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]{0,8}\Z").map(Token)
DISPLAY = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(DisplayString)
BARE = st.booleans() | INTEGERS | DECIMALS | TEXTS | st.binary(max_size=9) | TOKENS | INTEGERS.map(Date) | DISPLAY
KEYS = st.from_regex(r"\A[a-z*][a-z0-9_.*-]{0,6}\Z")
SPACE = st.text(" \t", max_size=2)
PARAMETERS = st.lists(st.tuples(st.text(" ", max_size=2), KEYS, BARE | st.none()), max_size=2)


def write(item: BareItem) -> str:
    if isinstance(item, bool):
        return f"?{item:d}"
    if isinstance(item, float):
        return f"{item:.3f}"
    if isinstance(item, int):
        return str(item)
    if isinstance(item, bytes):
        return f":{b64encode(item).decode()}:"
    if isinstance(item, Token):
        return item.text
    if isinstance(item, Date):
        return f"@{item.seconds}"
    if isinstance(item, DisplayString):
        plain = [
            chr(byte) if 0x20 <= byte < 0x7F and byte not in b'%"' else f"%{byte:02x}" for byte in item.text.encode()
        ]
        return f'%"{"".join(plain)}"'
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def parameters(draw: st.DrawFn) -> str:
    found = draw(PARAMETERS)
    return "".join(f";{space}{key}" + ("" if item is None else f"={write(item)}") for space, key, item in found)


@st.composite
def written_members(draw: st.DrawFn) -> tuple[str, Item]:
    """Return a member as it may be written behind its key, and its value."""
    kind = draw(st.sampled_from(["bare", "list", "true"]))
    if kind == "true":
        return draw(parameters()), True
    if kind == "bare":
        item = draw(BARE)
        return f"={write(item)}{draw(parameters())}", item
    items = tuple(draw(st.lists(BARE, max_size=3)))
    inner = "  ".join(write(each) + draw(parameters()) for each in items)
    return f"=( {inner} ){draw(parameters())}", items


@unhurried
@given(st.lists(st.tuples(KEYS, written_members(), SPACE, SPACE), max_size=4))
def test_9651_4_2_2_a_dictionary_reads_back_as_what_was_written(
    parts: list[tuple[str, tuple[str, Item], str, str]],
) -> None:
    """Every type of value, with any parameters, in any permitted space; the last of those with one key stays."""
    field = ",".join(before + key + text + after for key, (text, _), before, after in parts)
    expected = {key: item for key, (_, item), _, _ in parts}
    found = parse_dictionary(field.lstrip("\t ").rstrip("\t "))
    assert found == expected
    assert {key: type(item) for key, item in found.items()} == {key: type(item) for key, item in expected.items()}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", {}),
        ("   ", {}),
        ("  a  ", {"a": True}),
        ("a\t", {"a": True}),
        ("a=1 \t,\t b=2", {"a": 1, "b": 2}),
        ("a=1,a=2", {"a": 2}),
        ("a, a=?0", {"a": False}),
        ("*a_-.*9=x", {"*a_-.*9": Token("x")}),
        ('en="Applepie", da=:w4ZibGV0w6ZydGU=:', {"en": "Applepie", "da": "Æbletærte".encode()}),
        ("a=?0, b, c; foo=bar", {"a": False, "b": True, "c": True}),
        ("rating=1.5, feelings=(joy sadness)", {"rating": 1.5, "feelings": (Token("joy"), Token("sadness"))}),
        ("a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid", {"a": (1, 2), "b": 3, "c": 4, "d": (5, 6)}),
        ("a=()", {"a": ()}),
        ("a=(  )", {"a": ()}),
        ('a=("x";y=1;  z "w");q', {"a": ("x", "w")}),
        ("a=-0", {"a": 0}),
        ("a=007", {"a": 7}),
        ("a=-999999999999999", {"a": -LARGEST}),
        ("a=999999999999.999", {"a": 999_999_999_999.999}),
        ("a=-0.5", {"a": -0.5}),
        ('a="\\"\\\\"', {"a": '"\\'}),
        ("a=*foo123/456:x", {"a": Token("*foo123/456:x")}),
        ("a=:aGk:", {"a": b"hi"}),
        ("a=:aGl=:", {"a": b"hi"}),
        ("a=::", {"a": b""}),
        ("a=@-1659578233", {"a": Date(-1_659_578_233)}),
        ('a=%"f%c3%bc%c3%bc \\"', {"a": DisplayString("füü \\")}),
        ("max-age=60;x=?1;y=:aGk=:", {"max-age": 60}),
    ],
)
def test_9651_4_2_2_a_dictionary_is_read(field: str, expected: dict[str, Item]) -> None:
    """Each type in its forms (4.2.3.1 to 4.2.10), those among them that a writer may not choose."""
    assert parse_dictionary(field) == expected


@pytest.mark.parametrize(
    "field",
    [
        *(",", "a,", "a, ", ",a", "a,,b", "a b", "a\t b", "a;", "a;;b", "a; ", "a ;b", "a;\tb", "\ta", "a\n", "\na"),
        *("A=1", "1", "-", "9a=1", '"a"', "é=1", "a=é", "a=1é", "max-age=10000, &&&&&", "=1", "a==1"),
        *("a=", "a =1", "a= 1", "a=;b", "a=1;B", "a=1;b=", "a=1;b=(1)", "a=1;=2", "a=1;b= 2"),
        *("a=1000000000000000", "a=--1", "a=+1", "a=- 1", "a=1.", "a=.5", "a=-.5", "a=1.0000", "a=1000000000000.0"),
        *("a=1.2.3", "a=1e3", "a=0x10", "a=1_0", "a=1a"),
        *('a="', 'a="x', 'a="\\x"', 'a="\\', 'a="\x7f"', 'a="\n"', 'a="x"y', "a='x'"),
        *("a=?", "a=?2", "a=?true", "a=?11", "a=? 1"),
        *("a=:", "a=:aGk", "a=:a:", "a=:=aGk:", "a=:aG=k:", "a=:aGk==:x", "a=:aGk-:", "a=:a Gk:", "a=:====:"),
        *("a=@", "a=@1.0", "a=@x", "a=@ 1", "a=@1000000000000000"),
        *('a=%', 'a=%"', 'a=%x"', 'a=%"%C3%BC"', 'a=%"%c3"', 'a=%"%ff"', 'a=%"%"', 'a=%"%c"', 'a=%"\x7f"', 'a=%"x'),
        *("a=(", "a=(1", "a=(1 ", "a=1)", "a=(1,2)", "a=(1\t2)", "a=((1) 2)", 'a=("x""y")', "a=(1)(2)", "a=(1;)"),
        *("a=(a=1)", "a={}", "a=[1]", "a=/x", "a=~x", "a=!"),
    ],
    ids=ascii,
)  # fmt: skip
def test_9651_4_2_what_breaks_a_rule_makes_the_whole_unreadable(field: str) -> None:
    """No field is read in part, with or without something sound behind it."""
    assert parse_dictionary(field) is None
    assert parse_dictionary(f"{field}, ok=1") is None


SIGNS = st.text(st.sampled_from('az*A09-.=,;() \t"\\:?@%/') | st.characters(), max_size=24)


@unhurried
@given(SIGNS | st.tuples(written_members(), SIGNS).map(lambda parts: f"a{parts[0][0]}{parts[1]}"))
def test_any_text_is_read_or_not(field: str) -> None:
    """Nothing raises; what is read has sound keys, and numbers and texts that could be written again."""
    found = parse_dictionary(field)
    for key, item in (found or {}).items():
        items = item if isinstance(item, tuple) else (item,)
        again = f"{key}=({' '.join(write(each) for each in items)})"
        assert parse_dictionary(again) == {key: items}


@pytest.mark.parametrize("sign", ["(", "a,", "a;", '\\"', "=", ":", "%c3"], ids=ascii)
def test_a_long_field_is_read_in_linear_time(sign: str) -> None:
    """A field of hundreds of kilobytes is no trouble, sound or not: in quadratic time this test would take minutes."""
    for begin in ("a=", 'a="', 'a=%"', "a=(", "a=:"):
        assert parse_dictionary(begin + sign * 100_000 + "!") is None
