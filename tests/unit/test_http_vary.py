"""Vary (RFC 9110, section 12.5.5; RFC 9111, section 4.1): which fields select a response, and when requests agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.fields import Fields
from holdfast.policy.http.vary import matches, nominated, values_of

SIGNS = st.text(st.sampled_from('aAbq*,;= \t"\\\r\n\x000.1/-'), max_size=20)
TEXTS = st.text(st.characters(max_codepoint=0xFF), max_size=30) | SIGNS | st.text(max_size=8)
NAMES = st.sampled_from(["accept", "accept-language", "accept-encoding", "cookie", "x-foo", "user-agent"])


def request(**fields: str) -> Fields:
    """Return the fields of a request."""
    return Fields([(name.replace("_", "-"), value) for name, value in fields.items()])


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], ()),
        ([""], ()),
        ([" , ,"], ()),
        (["Accept"], ("accept",)),
        (["B, a", "A,, c"], ("a", "b", "c")),
        (["accept-encoding,ACCEPT-ENCODING"], ("accept-encoding",)),
        (["*"], None),
        (["Accept, *"], None),
        (["Accept", " * "], None),
        (["Accept Language"], None),
        (['"Accept, Cookie"'], None),
        (["Accept; q=1"], None),
        (["Accept\x00"], None),
        (["Äccept"], None),
        (["*a"], ("*a",)),
    ],
)
def test_9110_12_5_5_vary_names_request_fields(lines: list[str], names: tuple[str, ...] | None) -> None:
    """Members of all lines count, in any case; a star anywhere, or what is no name, never matches."""
    assert nominated(Fields([("vary", line) for line in lines])) == names


def test_names_may_be_ignored_and_added() -> None:
    """The owner of a cache knows better than Vary; only a star is beyond them."""
    fields = Fields([("VARY", "User-Agent, Accept")])
    assert nominated(fields, {"user-agent"}) == ("accept",)
    assert nominated(fields, {"user-agent", "accept"}, ["x-b", "a", "a"]) == ("a", "x-b")
    assert nominated(Fields([]), (), ("x-b", "a", "a")) == ("a", "x-b")
    assert nominated(fields, (), ("accept",)) == ("accept", "user-agent")
    assert nominated(fields, {"accept"}, ("accept",)) == ("accept", "user-agent")
    assert nominated(Fields([("vary", "*")]), {"*"}, ["a"]) is None


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("x-foo", "1", " 1\t"),
        ("x-foo", "1,2", "1 , 2"),
        ("accept-language", "en-GB, de;q=0.5", "EN-gb,DE ; Q = 0.5"),
        ("accept-encoding", "gzip, br", "GZIP ,br"),
        ("accept-charset", "UTF-8", "utf-8"),
        ("accept", "text/html, */*;q=0.1", "Text/HTML , */* ; Q=0.1"),
        ("accept", "text/html;Level=1", "TEXT/html; Level=1"),
    ],
)
def test_9111_4_1_values_of_one_meaning_match(name: str, one: str, other: str) -> None:
    """Space counts in no field, case not in those that have none."""
    values = values_of([name], Fields([(name, one)]))
    assert matches([name], values, Fields([(name.upper(), other)]))


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("x-foo", "a", "A"),
        ("x-foo", "a;b", "a; b"),
        ("x-foo", "a b", "a  b"),
        ("x-foo", '"a,b"', '"a, b"'),
        ("x-foo", "1,2", "2,1"),
        ("x-foo", "1,2", "1,,2"),
        ("x-foo", "1", ""),
        ("cookie", "a=1,b", "a=1, b"),
        ("cookie", "a=B", "a=b"),
        ("user-agent", "x (a, b)", "x (a,b)"),
        ("authorization", "Basic Ab", "Basic ab"),
        ("accept-language", "en, de", "de, en"),
        ("accept-language", "en;q=0.1", "en;q=0.2"),
        ("accept", "text/html;level=A", "text/html;level=a"),
        ("accept", "text/html;q=0.5;x=A", "text/html;q=0.5;x=a"),
        ("accept", 'text/html;a="B, C"', 'text/html;a="B,C"'),
        ("accept", "text/html;profile=A, b/c", "text/html;profile=a, b/c"),
    ],
)
def test_9111_4_1_values_that_may_differ_in_meaning_do_not_match(name: str, one: str, other: str) -> None:
    """What a field's syntax does not say to be equal is not."""
    values = values_of([name], Fields([(name, one)]))
    assert not matches([name], values, Fields([(name, other)]))
    assert matches([name], values, Fields([(name, one)]))


def test_9111_4_1_lines_are_joined() -> None:
    """Two lines are one list."""
    values = values_of(["x-foo"], Fields([("X-Foo", "1"), ("x-foo", "2")]))
    assert matches(["x-foo"], values, request(x_foo="1, 2"))
    assert matches(["x-foo"], values, request(x_foo="1,2"))
    assert not matches(["x-foo"], values, request(x_foo="1"))


def test_9111_4_1_absent_matches_absent_alone() -> None:
    """A field that is there and empty is there."""
    absent, empty = values_of(["a", "b"], request(b="")), values_of(["a", "b"], request(a="", b=""))
    assert absent == (None, "")
    assert empty == ("", "")
    assert matches(["a", "b"], absent, request(b="", c="x"))
    assert not matches(["a", "b"], absent, request(a="", b=""))
    assert not matches(["a", "b"], empty, request(b=""))


def test_all_names_must_match() -> None:
    """One that differs is enough, wherever it stands, and so is a stored page that lacks a value."""
    values = values_of(["a", "b"], request(a="1", b="2"))
    assert matches(["a", "b"], list(values), request(b="2", a="1"))
    assert not matches(["a", "b"], values, request(a="1", b="3"))
    assert not matches(["a", "b"], values, request(a="3", b="2"))
    assert not matches(["a", "b"], values[:1], request(a="1", b="2"))
    assert matches([], (), request(a="1"))


@pytest.mark.parametrize("length", [0, 399, 400, 401, 1000])
def test_long_values_are_compared_alike(length: int) -> None:
    """A value that is too long to be remembered has the same normal form."""
    long = "x" * length
    assert values_of(["accept-language"], request(accept_language=f" EN , {long} ")) == (f"en,{long}",)


def test_a_value_of_many_kilobytes_is_not_read() -> None:
    """Anybody can send one, and each variant would cost a pass over it: it matches what is the same, and no more."""
    long = "x" * 70_000
    assert values_of(["accept-language"], request(accept_language=f" EN , {long} ")) == (f"EN , {long}",)


@given(NAMES, TEXTS, TEXTS)
def test_values_of_different_signs_never_match(name: str, one: str, other: str) -> None:
    """No text raises; two values that differ in more than case and space are never alike, a value always is itself."""
    first, second = Fields([(name, one)]), Fields([(name, other)])
    values = values_of([name], first)
    assert matches([name], values, first)
    bare = ["".join(text.lower().split()) for text in (one, other)]
    if bare[0] != bare[1]:
        assert not matches([name], values, second)


@given(NAMES, TEXTS)
def test_a_normal_form_is_its_own(name: str, value: str) -> None:
    """What is stored matches when it is normalised again."""
    (once,) = values_of([name], Fields([(name, value)]))
    assert values_of([name], Fields([(name, once or "")])) == (once,)


@given(st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=2), st.lists(NAMES, max_size=2))
def test_no_vary_raises(lines: list[str], ignored: list[str], added: list[str]) -> None:
    """What is nominated is sorted, in lower case, and has all that was added; a star is never overlooked."""
    names = nominated(Fields([("Vary", line) for line in lines]), ignored, added)
    if names is not None:
        assert list(names) == sorted(set(names))
        assert set(added) <= set(names)
        assert all(name == name.lower() for name in names)
        assert not any(line.strip(" \t,") == "*" for line in lines)
