"""Structured Field Values: a reader made from the RFC finds in a field what was written, and the rest is refused."""

from __future__ import annotations

import string
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.policy.structured import write_bare, write_list, write_string
from support.structured import parse_list

unhurried = settings(deadline=None)  # a busy machine is no failure
LARGEST = 999_999_999_999_999
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
KEYS = st.from_regex(r"\A[a-z*][a-z0-9_.*-]{0,8}\Z")
VALUES = st.integers(-LARGEST, LARGEST) | TEXTS | st.binary(max_size=40)
MEMBERS = st.lists(st.tuples(TEXTS, st.dictionaries(KEYS, VALUES, max_size=4)), min_size=1, max_size=5)


class Size(IntEnum):
    SMALL = 3


@unhurried
@given(MEMBERS)
def test_a_list_reads_back_as_what_was_written(members: list[Any]) -> None:
    """Every List of Strings, whatever its texts and parameters, is read as the same one."""
    assert parse_list(write_list(members)) == members


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (-7, "-7"),
        (LARGEST, "999999999999999"),
        (Size.SMALL, "3"),
        ("", '""'),
        ("a b", '"a b"'),
        ('say "hi"\\', '"say \\"hi\\"\\\\"'),
        (b"", "::"),
        (b"alice", ":YWxpY2U=:"),
        (b"\xff\xfe", ":" + "//4=" + ":"),
    ],
)
def test_a_value_is_written_in_its_only_form(value: int | str | bytes, written: str) -> None:
    """The forms are those of sections 4.1.4, 4.1.6 and 4.1.8."""
    assert write_bare(value) == written


@pytest.mark.parametrize(
    "value",
    [True, None, 1.5, LARGEST + 1, -LARGEST - 1, 10**5000, [1], "é", "a\nb", "\x7f", "\x00"],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_has_no_form_is_refused(value: Any) -> None:
    """Nothing is cut, rounded or replaced to make it fit."""
    with pytest.raises(ConfigurationError):
        write_bare(value)


@unhurried
@given(st.text(max_size=6).filter(lambda key: not set(key) <= set(string.ascii_lowercase) or not key))
def test_a_key_is_refused_or_reads_back(key: str) -> None:
    """What no reader takes for a key is not written as one."""
    try:
        written = write_list([("x", {key: 1})])
    except ConfigurationError:
        return
    assert parse_list(written) == [("x", {key: 1})]


@pytest.mark.parametrize("key", ["", "Q", "1q", "-q", "q q", "q;r", "q=", "é", "q\n"])
def test_a_bad_key_is_refused(key: str) -> None:
    """Keys begin with a lower-case letter or a star, and go on with these, digits and a few signs."""
    with pytest.raises(ConfigurationError, match="key"):
        write_list([("x", {key: 1})])


@unhurried
@given(st.text(max_size=20))
def test_a_text_is_refused_or_reads_back(text: str) -> None:
    """A name from anywhere gives a sound field or an error that says what to do, and ASCII decides which."""
    if text.isascii() and text.isprintable():
        assert parse_list(write_string(text)) == [(text, {})]
        return
    with pytest.raises(ConfigurationError, match="ASCII"):
        write_string(text)


def test_an_empty_list_is_refused() -> None:
    """It has no form: the field is left out."""
    with pytest.raises(ConfigurationError, match="leave the field out"):
        write_list([])
