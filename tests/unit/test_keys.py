"""Names and keys as text: nothing in a name reaches beyond its place, and the hash tag is the name."""

from __future__ import annotations

import re
from binascii import crc_hqx
from enum import Enum

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.policy.keys import check_namespace, entry_key, escape, guard, shorten

# Every sign that means something in a name, half a surrogate pair, and what an encoding of them could be taken for.
TRICKY = ":%{}|,='\n\x00\x85\u2028\u3000 \ud800\ue0003A7Cvé"
texts = st.text(st.sampled_from(TRICKY) | st.characters(exclude_categories=()), max_size=60)
UNSAFE = re.compile(r"[\s\x00-\x1f\x7f-\x9f{}]")


def slot(key: str) -> int:
    """Return the cluster slot of a key as Redis computes it: over the first non-empty hash tag, if there is one."""
    before, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return crc_hqx((tag if opened and closed and tag else before + opened + rest).encode(), 0) % 16384


@given(first=texts, second=texts)
@example(first="%3A", second=":")
@example(first="\ud800", second="%ED%A0%80")
def test_escape_keeps_texts_apart(first: str, second: str) -> None:
    """Different inputs never give the same escaped text."""
    assert (escape(first) == escape(second)) == (first == second)


@given(text=texts)
def test_escape_leaves_no_sign_that_means_something(text: str) -> None:
    """An escaped text holds no sign of structure, no whitespace and no control character, and has UTF-8."""
    escaped = escape(text)
    escaped.encode()
    assert not UNSAFE.search(escaped)
    assert not set(escaped) & set(":|,=")


def test_escape_leaves_clean_text_alone() -> None:
    """Letters of any alphabet, digits and the signs of slugs, mail addresses and UUIDs stay readable."""
    for text in ("", "abc", "Ünïcode", "日本", "red-shoes_2.0", "a@b.example", "0b8e-4f", "a/b?c&d*"):
        assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("a:b", "a%3Ab"), ("{x}", "%7Bx%7D"), ("50%", "50%25"), ("a b\n", "a%20b%0A"), ("\u2028", "%E2%80%A8")],
)
def test_escape_writes_bytes_of_utf8(text: str, escaped: str) -> None:
    """A sign that may not stand for itself is written as its UTF-8 bytes in hexadecimal."""
    assert escape(text) == escaped


@given(first=texts.filter(bool), second=texts.filter(bool))
@example(first="%7B", second="{")
def test_guard_keeps_names_apart(first: str, second: str) -> None:
    """Different whole names never give the same entry, and none leaves the hash tag."""
    assert (guard(first) == guard(second)) == (first == second)
    assert not UNSAFE.search(guard(first))


def test_guard_keeps_the_structure_of_a_name() -> None:
    """Colons, commas and equal signs of a name given whole are kept; a member of a text Enum is its text."""

    class Name(str, Enum):  # noqa: UP042 - unlike a StrEnum, its str() is not its text
        PRODUCT = "product:7"

    assert guard("product:7,lang=en") == "product:7,lang=en"
    assert guard(Name.PRODUCT) == "product:7"


@pytest.mark.parametrize("name", ["", 7, None, b"product:7"])
def test_guard_refuses_what_is_no_name(name: object) -> None:
    """An empty name, or one that is not text, is refused with the name of who gave it."""
    with pytest.raises(ConfigurationError, match="the builder's result"):
        guard(name, "the builder's result")  # type: ignore[arg-type]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=600))
def test_a_short_name_is_kept_and_a_long_one_is_bounded(name: str) -> None:
    """Up to 200 bytes of UTF-8 are kept as they are; a longer name keeps its head and fits into 200 bytes."""
    short = shorten(name)
    if len(name.encode()) <= 200:
        assert short == name
    else:
        head, _, digest = short.rpartition("|")
        assert len(short.encode()) <= 200
        assert name.startswith(head)
        assert len(head.encode()) > 150
        assert re.fullmatch("[0-9a-f]{40}", digest)


def test_long_names_that_differ_anywhere_stay_apart() -> None:
    """One different sign, wherever in a long name, gives another entry."""
    names = {shorten("a" * place + "b" + "a" * (400 - place)) for place in range(400)}
    assert len(names) == 400


def test_a_shortened_name_cannot_be_given() -> None:
    """Nobody can name another's long entry by writing out its shortened name."""
    short = shorten("x" * 300)
    assert escape(short) != short
    assert guard(short) != short


@given(name=texts.filter(bool), namespace=st.sampled_from(["", "shop", "shop:eu"]), part=st.sampled_from(["", "lease"]))
def test_all_keys_of_an_entry_share_the_slot_of_its_name(name: str, namespace: str, part: str) -> None:
    """The cluster's hash tag is exactly the name, whatever the name holds."""
    assert slot(entry_key(namespace, "cache", guard(name), part)) == crc_hqx(guard(name).encode(), 0) % 16384


def test_an_empty_name_still_is_a_hash_tag() -> None:
    """A template can come out empty; Redis ignores an empty hash tag, so the name must not be empty."""
    assert slot(entry_key("", "cache", shorten(""))) == slot(entry_key("", "lease", shorten("")))


def test_entry_key_has_its_parts_in_order() -> None:
    """A key is namespace, kind, name in braces, part; without namespace it starts with the kind."""
    assert entry_key("shop", "cache", "product:7") == "shop:cache:{product:7}"
    assert entry_key("shop", "tag", "a", "soft") == "shop:tag:{a}:soft"
    assert entry_key("", "cache", "a") == "cache:{a}"


@pytest.mark.parametrize("namespace", ["", "shop", "shop:eu", "läden", "my app"])
def test_a_namespace_is_kept_as_it_is(namespace: str) -> None:
    """What can stand in front of a key is returned unchanged."""
    assert check_namespace(namespace) == namespace


@pytest.mark.parametrize("namespace", ["{shop}", "shop}", "shop\n", "a\x00b", "\ud800", "n" * 101, "é" * 51, None, 7])
def test_a_namespace_that_would_break_keys_is_refused(namespace: object) -> None:
    """Braces would move the hash tag, control characters garble logs, and length costs in every key."""
    with pytest.raises(ConfigurationError, match="namespace"):
        check_namespace(namespace)  # type: ignore[arg-type]
