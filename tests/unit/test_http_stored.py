"""Pages of stored responses, and a stored response made ready to be served (RFC 9111, sections 3 and 4.1)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.policy.http.conditions import Validators
from holdfast.policy.http.fields import Pairs
from holdfast.policy.http.stored import (
    LARGEST_INLINE,
    MOST_INLINE,
    MOST_VARIANTS,
    Page,
    Stored,
    is_inline,
    joined,
    remaining,
)
from holdfast.policy.http.variants import is_for, is_sound_page, variant_of
from support.http_rfc import NOW, RULES, request_of, stored_of

ODD: Pairs = (("X-\xe9", "\xff\x80 \t,"), ("x-a", ""), ("X-A", '"'), ("", "\x00\r\n"))


def named(*names: str) -> tuple[Stored, ...]:
    """Return stored responses of these names."""
    return tuple([stored_of(name=name) for name in names])


def test_a_page_is_read_as_it_was_written() -> None:
    """With the order, the case and the bytes of its fields, the absent and the empty values, and both kinds of body."""
    one = msgspec.structs.replace(
        stored_of(by=request_of("X-A: ", extras=ODD), names=("x-a", "x-b"), anonymous=False),
        fields=ODD,
        until=NOW + 0.5,
    )
    two = msgspec.structs.replace(one, body=None, size=2**40)
    page = Page((one, two), NOW + 0.25)
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(page), type=Page)
    assert read == page
    assert read.variants[0].values == ("", None)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Page()), type=Page) == Page((), 0.0)


def test_a_page_of_before_extras_is_read() -> None:
    """What a stored response has come to hold later has a value for those that do not have it."""
    old = msgspec.to_builtins(stored_of())[:10]
    assert msgspec.convert(old, type=Stored) == stored_of()


def test_the_newest_comes_first_and_the_oldest_goes() -> None:
    """A page has a limited number of variants."""
    new, *others = named(*map(str, range(MOST_VARIANTS)))
    assert joined(new, others) == Page((new, *others))
    more = named("more")[0]
    assert joined(more, [new, *others]).variants == (more, new, *others[:-1])
    assert joined(new, []) == Page((new,), 0.0)


def test_what_is_outdated_or_of_no_use_goes() -> None:
    """By its id, or by its time; the rest keeps its order."""
    one, two, three = named("one", "two", "three")
    dying = msgspec.structs.replace(two, until=NOW + 1)
    page = Page((one, dying, three), NOW)
    assert remaining(page, (), NOW + 0.5) == (one, dying, three)
    assert remaining(page, (), NOW + 1) == (one, three)
    assert remaining(page, ["three", "four"], NOW) == (one, dying)
    assert remaining(page, iter(["one", "two", "three"]), NOW) == ()


@pytest.mark.parametrize(
    ("size", "others", "inline"),
    [
        (0, [], True),
        (LARGEST_INLINE, [], True),
        (LARGEST_INLINE + 1, [], False),
        (10, [MOST_INLINE - 10], True),
        (11, [MOST_INLINE - 10], False),
        (10, [MOST_INLINE - 20, 10], True),
        (10, [MOST_INLINE - 20, 11], False),
        (10, [None, None], True),
    ],
)
def test_short_bodies_lie_in_the_page(size: int, others: list[int | None], inline: bool) -> None:
    """As long as all of them together are short enough; those elsewhere do not count."""
    beside = [
        msgspec.structs.replace(stored_of(), size=2**30, body=None if each is None else bytes(each)) for each in others
    ]
    assert is_inline(size, beside) == inline


def test_9111_4_1_what_is_stored_is_for_requests_like_its_own() -> None:
    """In the fields that it names, and in all else that selects; others do not matter."""
    extras = (("cookie a", "1"), ("key", "x"))
    by = request_of("Accept-Language: de", "X-C: 1", extras=extras)
    stored = stored_of(by=by, names=("accept-language", "x-b"))
    assert is_for(stored, by)
    assert is_for(stored, request_of("accept-language:  DE", "X-C: 2", extras=extras))
    assert not is_for(stored, request_of("Accept-Language: en", extras=extras))
    assert not is_for(stored, request_of("Accept-Language: de", "X-B: ", extras=extras))
    assert not is_for(stored, request_of(extras=extras))
    for other in ((), extras[:1], extras[::-1], (*extras, ("key", "x")), (("cookie a", "2"), ("key", "x"))):
        assert not is_for(stored, request_of("Accept-Language: de", extras=other))
    assert not is_for(stored_of(), request_of(extras=extras))
    assert is_for(stored_of(), request_of("Accept-Language: en", "Cookie: a"))


def test_a_page_that_somebody_else_has_written_is_looked_at() -> None:
    """Nothing of it may break a message, or be taken for another body."""
    good = stored_of("X-A: 1", "X-B: \xff", names=("x-a",))
    elsewhere = msgspec.structs.replace(good, body=None, size=2**40)
    assert is_sound_page(Page())
    assert is_sound_page(Page((good, elsewhere)))
    changes: list[dict[str, Any]] = [
        *[{"status": status} for status in (-1, 0, 199, 600)],
        *[
            {"fields": (*good.fields, pair)}
            for pair in (("X A", "1"), ("", ""), ("X-A", "1\r\nX-B: 2"), ("X-A", "\u0100"))
        ],
        *[{"size": size} for size in (7, 9, -1)],
        *[{"names": names} for names in ((), ("x-a", "x-b"))],
        {"values": ()},
    ]
    for change in changes:
        assert not is_sound_page(Page((good, msgspec.structs.replace(good, **change))))
        assert not is_sound_page(Page((msgspec.structs.replace(good, **change), good)))
    for status in (200, 599):
        assert is_sound_page(Page((msgspec.structs.replace(good, status=status),)))


def test_a_stored_response_is_made_ready() -> None:
    """Its Age is not served as it was, and the length of its body is, once."""
    stored = stored_of("Cache-Control: max-age=60", 'ETag: "a"', "age: 5", "Age: 6", "Last-Modified: x")
    variant = variant_of(stored, RULES)
    assert variant.stored is stored
    assert variant.served == (*stored.fields[:2], stored.fields[4], ("Content-Length", "8"))
    assert (variant.told.lifetime, variant.told.initial_age) == (60, 5)
    assert variant.validators == Validators('"a"', None)
    assert variant_of(stored_of("content-length: 8"), RULES).served == (("content-length", "8"),)
    assert variant_of(stored_of(status=404, body=b""), RULES).served == (("Content-Length", "0"),)
    for status in (204, 304):
        assert variant_of(stored_of(status=status), RULES).served == ()


def test_the_age_of_a_stored_response_counts_the_way_it_came() -> None:
    """Between the request and the answer that had an Age already."""
    stored = msgspec.structs.replace(stored_of("Age: 5"), requested=NOW - 2)
    assert variant_of(stored, RULES).told.initial_age == 7


def test_a_lifetime_is_guessed_only_for_what_is_nobodys() -> None:
    """As it was noted when it was stored."""
    for anonymous in (True, False):
        stored = stored_of("Last-Modified: @-100", anonymous=anonymous)
        assert variant_of(stored, RULES).told.lifetime == (10 if anonymous else 0)


@pytest.mark.parametrize(
    ("stored", "simple"),
    [
        (stored_of("Cache-Control: max-age=60"), True),
        (stored_of("Cache-Control: max-age=60, no-cache"), False),
        (stored_of(names=("x-a",)), False),
        (stored_of(by=request_of(extras=(("key", "x"),))), False),
    ],
    ids=["plain", "no-cache", "selected", "keyed"],
)
def test_some_responses_are_for_everybody(stored: Stored, simple: bool) -> None:
    """So that a request with nothing remarkable need not be compared with them."""
    assert variant_of(stored, RULES).simple == simple
