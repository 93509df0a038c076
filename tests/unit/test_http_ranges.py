"""Byte ranges of a stored response (RFC 9110, sections 13.1.5, 14 and 15.3.7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.fields import Fields, Pairs
from holdfast.policy.http.ranges import UNSATISFIABLE, Part, part_of, partial, unsatisfiable

NOW = 1_700_000_000.0
DATE, LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
HUGE = "9" * 5000
"""More digits than Python turns into a number."""
NUMBERS = st.sampled_from(["", "0", "00", "1", "9", "10", "99", HUGE]) | st.integers(0, 200).map(str)
SIGNS = st.text(st.sampled_from('bytes=-,0123 "\t\r\nBW/\u0661é'), max_size=20)
TEXTS = SIGNS | st.text(max_size=20) | st.tuples(NUMBERS, NUMBERS).map(lambda pair: f"bytes={pair[0]}-{pair[1]}")


def shorten(value: object) -> str:
    """Return the name of a case."""
    return repr(value)[:30]


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=2-4", (2, 4)),
        ("bytes=2-", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=0-9", (0, 9)),
        ("bytes=9-", (9, 9)),
        ("bytes=5-99", (5, 9)),
        (f"bytes=5-{HUGE}", (5, 9)),
        ("bytes=-99", (0, 9)),
        (f"bytes=-{HUGE}", (0, 9)),
        ("bytes=0002-0004", (2, 4)),
        ("bytes=00000000000000000000002-4", (2, 4)),
        ("BYTES=2-4", (2, 4)),
        (" bytes=2-4\t", (2, 4)),
        ("bytes=,2-4 ,", (2, 4)),
    ],
    ids=shorten,
)
def test_9110_14_1_2_a_single_range_is_a_part(wanted: str, part: tuple[int, int]) -> None:
    """First and last, first alone, or a length from the end; what lies beyond the end is cut off."""
    assert part_of(Fields([("Range", wanted)]), Fields([]), 10, NOW) == Part(*part)


@pytest.mark.parametrize(
    "wanted",
    ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=-000", f"bytes={HUGE}-", f"bytes={HUGE}-{HUGE}"],
    ids=shorten,
)
def test_9110_15_5_17_a_range_behind_the_end_cannot_be_satisfied(wanted: str) -> None:
    """And neither can the last zero bytes."""
    assert part_of(Fields([("range", wanted)]), Fields([]), 10, NOW) is UNSATISFIABLE


@pytest.mark.parametrize(
    "wanted",
    [
        *["", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1", "bytes=4-2", f"bytes={HUGE}-2"],
        *["bytes=1--2", "bytes=+1-2", "bytes=1 -2", "bytes= - ", "bytes =1-2", "bytes=0x1-2", "bytes=\u0661-2"],
        *["items=0-1", "byte=0-1", "0-1", "bytes:0-1", "x-bytes=1-2", 'bytes="1-2"', "bytes=1-2\n", "bytes=1-2;x"],
        *["bytes=0-1,3-4", "bytes=0-1, bytes=3-4"],
    ],
    ids=shorten,
)
def test_9110_14_2_what_is_malformed_or_several_is_ignored(wanted: str) -> None:
    """An unknown unit, several ranges and what has no sense give the whole."""
    assert part_of(Fields([("range", wanted)]), Fields([]), 10, NOW) is None


def test_9110_14_2_repeated_lines_are_ignored() -> None:
    """Two lines are no single range."""
    request = Fields([("range", "bytes=0-1"), ("range", "bytes=0-1")])
    assert part_of(request, Fields([]), 10, NOW) is None


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-"])
def test_a_body_without_a_byte_has_no_parts(wanted: str) -> None:
    """It is sent whole, which is nothing, rather than as an error."""
    assert part_of(Fields([("range", wanted)]), Fields([]), 0, NOW) is None


def test_a_body_of_one_byte_has_one_part() -> None:
    """The smallest part is the whole."""
    for wanted in ("bytes=0-", "bytes=0-0", "bytes=-1", "bytes=0-7"):
        assert part_of(Fields([("range", wanted)]), Fields([]), 1, NOW) == Part(0, 0)
    assert part_of(Fields([]), Fields([]), 1, NOW) is None


@pytest.mark.parametrize(
    ("condition", "stored", "holds"),
    [
        ('"a"', {"etag": '"a"'}, True),
        (' "a" ', {"etag": '"a"'}, True),
        ('"b"', {"etag": '"a"'}, False),
        ('W/"a"', {"etag": 'W/"a"'}, False),
        ('"a"', {"etag": 'W/"a"'}, False),
        ('W/"a"', {"etag": '"a"'}, False),
        ('"a"', {}, False),
        ("a", {"etag": "a"}, False),
        ('"a", "b"', {"etag": '"a"'}, False),
        ("*", {"etag": '"a"'}, False),
        ("", {"etag": '"a"'}, False),
        (DATE, {"last-modified": DATE, "date": LATER}, True),
        ("Sunday, 06-Nov-94 08:49:37 GMT", {"last-modified": DATE, "date": LATER}, True),
        (DATE, {"last-modified": DATE, "date": DATE}, False),
        (DATE, {"last-modified": DATE}, False),
        (DATE, {"last-modified": DATE, "date": "x"}, False),
        (LATER, {"last-modified": DATE, "date": LATER}, False),
        (LATER, {"last-modified": DATE, "date": "Mon, 07 Nov 1994 08:49:37 GMT"}, False),
        (DATE, {"last-modified": LATER, "date": LATER}, False),
        (DATE, {"date": LATER}, False),
        ("x", {"last-modified": "x", "date": LATER}, False),
    ],
)
def test_9110_13_1_5_if_range(condition: str, stored: dict[str, str], holds: bool) -> None:
    """A part is for those who have the rest of the same: by a strong tag, or exactly the date of an older version."""
    request = Fields([("range", "bytes=1-2"), ("if-range", condition)])
    assert part_of(request, Fields(stored.items()), 10, NOW) == (Part(1, 2) if holds else None)
    outside = Fields([("range", "bytes=10-"), ("if-range", condition)])
    assert part_of(outside, Fields(stored.items()), 10, NOW) is (UNSATISFIABLE if holds else None)


def test_9110_13_1_5_if_range_alone_is_ignored() -> None:
    """It is about a Range, and there is none."""
    assert part_of(Fields([("if-range", '"a"')]), Fields([("etag", '"a"')]), 10, NOW) is None


def test_9110_15_3_7_fields_of_a_206() -> None:
    """All that the 200 has, with the length of the part and its place; digests of the whole content go."""
    pairs: Pairs = (
        *[("ETag", '"a"'), ("Content-Length", "10"), ("X", "1"), ("Content-Range", "x"), ("Content-Type", "a/b")],
        *[("content-length", "10"), ("Content-Digest", "d"), ("Repr-Digest", "r"), ("x", "2"), ("Cache-Control", "c")],
    )
    assert partial(pairs, Part(2, 4), 10) == (
        *[("ETag", '"a"'), ("X", "1"), ("Content-Type", "a/b"), ("Repr-Digest", "r"), ("x", "2")],
        *[("Cache-Control", "c"), ("content-length", "3"), ("content-range", "bytes 2-4/10")],
    )


def test_9110_15_5_17_fields_of_a_416() -> None:
    """The size, no body, nothing about one; nobody may store it, for its key is that of the whole."""
    gone: Pairs = (
        *[("ETag", '"a"'), ("Last-Modified", DATE), ("Content-Type", "a/b"), ("Content-Encoding", "gzip")],
        *[("Content-Length", "10"), ("Cache-Control", "max-age=60"), ("CDN-Cache-Control", "max-age=9")],
        *[("Expires", DATE), ("Age", "5"), ("Set-Cookie", "a=1")],
    )
    kept: Pairs = (("Date", DATE), ("Vary", "Accept"), ("Access-Control-Allow-Origin", "*"))
    assert unsatisfiable((*gone, *kept, *gone), 10) == (
        *kept,
        *[("content-length", "0"), ("content-range", "bytes */10"), ("cache-control", "no-store")],
    )


@given(TEXTS, st.none() | TEXTS, st.integers(0, 120), st.lists(st.tuples(st.sampled_from(["etag", "date"]), TEXTS)))
def test_a_part_lies_within_the_body(
    wanted: str, condition: str | None, size: int, pairs: list[tuple[str, str]]
) -> None:
    """No text raises, and a part has a byte at least and none from beyond."""
    request = Fields([("range", wanted), *([("if-range", condition)] if condition is not None else [])])
    part = part_of(request, Fields(pairs), size, NOW)
    if isinstance(part, Part):
        assert 0 <= part.first <= part.last < size
        fields = Fields(partial(tuple(pairs), part, size))
        assert fields.get("content-length") == str(part.last - part.first + 1)
        assert fields.get("content-range") == f"bytes {part.first}-{part.last}/{size}"


@given(st.integers(1, 50), st.integers(0, 60), st.none() | st.integers(0, 60))
def test_a_part_is_what_a_slice_would_be(size: int, first: int, last: int | None) -> None:
    """Both forms select the bytes that Python's slices do."""
    body = bytes(range(size))
    part = part_of(Fields([("range", f"bytes={first}-{'' if last is None else last}")]), Fields([]), size, NOW)
    if last is not None and last < first:
        assert part is None
    elif first >= size:
        assert part is UNSATISFIABLE
    else:
        assert isinstance(part, Part)
        assert body[part.first : part.last + 1] == body[first : None if last is None else last + 1]
    tail = part_of(Fields([("range", f"bytes=-{first}")]), Fields([]), size, NOW)
    assert body[tail.first : tail.last + 1] == body[-first:] if isinstance(tail, Part) else not first
