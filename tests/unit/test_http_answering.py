"""Answers from what is stored: Age, conditions, ranges (RFC 9111, 4 and 5.1; RFC 9110, 13.2.2, 14 and 15)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.answering import Answer, answer_of, unsatisfied
from holdfast.policy.http.fields import Fields, Pairs
from holdfast.policy.http.request import Request
from holdfast.policy.http.variants import variant_of
from support.http_rfc import NOW, PAIRS, RULES, TARGET, request_of, stored_of, variant

LINES = "Cache-Control: max-age=60", 'ETag: "a"', "Last-Modified: @-500", "Date: @-9", "Age: 5", "X-A: 1", "Vary: x"
LIKE = 'If-None-Match: "a"'
STATUS: Pairs = (("Cache-Status", "holdfast;hit"),)
BODY = b"the body"


def answered(*asks: str, method: str = "GET", status: int = 200, lines: tuple[str, ...] = LINES) -> Answer:
    """Return the answer to a request at the age of 12.9 seconds."""
    stored = variant(*lines, status=status, body=BODY)
    return answer_of(request_of(*asks, method=method), stored, BODY, 12.9, NOW + 7, STATUS)


def fields(answer: Answer) -> Fields:
    """Return all fields of an answer."""
    return Fields((*answer.fields, *answer.more))


@pytest.mark.parametrize(
    "asks", [(), ("Range: bytes=0-1, 3-4",), ('If-None-Match: "b"',), ("Cache-Control: max-age=99",)]
)
def test_9111_4_the_stored_response_is_answered_with_its_age(asks: tuple[str, ...]) -> None:
    """Its fields as they are, the length, one Age in whole seconds for all others, and what belongs to this answer."""
    answer = answered(*asks)
    assert (answer.status, answer.body) == (200, BODY)
    kept = tuple([pair for pair in variant(*LINES).stored.fields if pair[0] != "Age"])
    assert answer.fields == (*kept, ("Content-Length", "8"))
    assert answer.more == (("Age", "12"), *STATUS)
    assert answer.variant is not None
    assert answer.variant.served == answer.fields


@pytest.mark.parametrize("asks", [(), ("Range: bytes=0-1",), ("Range: bytes=99-",), ('If-None-Match: "b"',)])
def test_9110_9_3_2_a_head_is_answered_like_a_get_without_the_body(asks: tuple[str, ...]) -> None:
    """With the length that the body has; ranges are for GET alone (14.2)."""
    answer = answered(*asks, method="HEAD")
    assert answer == answered()._replace(body=b"", variant=answer.variant)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "asks", [(LIKE,), (LIKE, "Range: bytes=0-1"), ("If-Modified-Since: @-500",), ("If-None-Match: *",)]
)
def test_9110_15_4_5_who_has_it_gets_a_304(method: str, asks: tuple[str, ...]) -> None:
    """Conditions come before ranges. It has no body and does not describe one, but all by which caches bring it up."""
    answer = answered(*asks, method=method)
    assert (answer.status, answer.body) == (304, b"")
    found = fields(answer)
    assert {"cache-control", "etag", "date", "vary", "age", "cache-status"} <= {name.lower() for name, _ in found.pairs}
    assert "content-length" not in found
    assert found.get("age") == "12"


@pytest.mark.parametrize("status", [201, 204, 299])
def test_9110_13_2_1_conditions_are_for_success(status: int) -> None:
    """Of any 2xx; ranges are for a 200 alone."""
    assert answered(LIKE, status=status).status == 304
    assert answered("Range: bytes=0-1", status=status).status == status


@pytest.mark.parametrize("status", [300, 301, 404, 500])
def test_9110_13_2_1_conditions_and_ranges_are_not_for_others(status: int) -> None:
    """These are answered whole."""
    for asks in ((LIKE,), ("Range: bytes=0-1",), ("If-None-Match: *",)):
        assert (answered(*asks, status=status).status, answered(*asks, status=status).body) == (status, BODY)


def test_9110_15_3_7_a_part_is_told_where_it_lies() -> None:
    """By Content-Range, with a length of its own."""
    answer = answered("Range: bytes=4-", 'If-Range: "a"')
    found = fields(answer)
    assert (answer.status, answer.body) == (206, b"body")
    assert (found.get("content-range"), found.get("content-length")) == ("bytes 4-7/8", "4")
    assert (found.get("age"), found.get("etag"), answer.variant) == ("12", '"a"', None)
    assert answered("Range: bytes=4-", 'If-Range: "b"').status == 200
    assert answered("Range: bytes=1-2").body == b"he"


def test_9110_15_5_17_a_part_that_is_not_there_is_not_satisfiable() -> None:
    """The answer says how long the body is, and has none."""
    answer = answered("Range: bytes=8-")
    found = fields(answer)
    assert (answer.status, answer.body) == (416, b"")
    assert (found.get("content-range"), found.get("content-length")) == ("bytes */8", "0")


def test_9111_5_2_1_7_what_is_not_stored_is_a_504() -> None:
    """For who wants a stored response or none."""
    assert unsatisfied(STATUS) == Answer(504, (("Content-Length", "0"),), STATUS, b"")


@pytest.mark.parametrize(
    ("status", "lines", "length"),
    [
        (200, (), "8"),
        (200, ("content-length: 8",), "8"),
        (404, (), "8"),
        (204, (), None),
        (304, (), None),
    ],
)
def test_9110_8_6_the_length_is_told_where_there_is_a_body(
    status: int, lines: tuple[str, ...], length: str | None
) -> None:
    """Once: the app's own, or that of what is stored."""
    assert fields(answered(status=status, lines=lines)).get("content-length") == length


@given(PAIRS, PAIRS, st.sampled_from(["GET", "HEAD"]), st.sampled_from([200, 204, 404]), st.binary(max_size=3))
def test_9110_any_answer_agrees_with_itself(asks: Pairs, said: Pairs, method: str, status: int, body: bytes) -> None:
    """There is one Age; a part is that part of the body, with its length; and what has no body has none."""
    length = [("Content-Length", str(len(body)))] if status != 204 else []
    pairs = tuple([pair for pair in said if pair[0].lower() not in {"content-length", "content-range"}] + length)
    one = variant_of(msgspec.structs.replace(stored_of(status=status, body=body), fields=pairs), RULES)
    answer = answer_of(Request(method, TARGET, Fields(asks), "key", False), one, body, 1.5, NOW)
    found = fields(answer)
    assert found.lines("age") == ("1",)
    if answer.status == 206:
        first, last = map(int, (found.get("content-range") or "").removeprefix("bytes ").partition("/")[0].split("-"))
        assert (method, answer.body) == ("GET", body[first : last + 1])
    elif answer.status == 416:
        assert found.lines("content-range") == (f"bytes */{len(body)}",)
    else:
        assert "content-range" not in found
    if answer.status == 304 or method == "HEAD":
        assert answer.body == b""
    if answer.status in {200, 206, 416} and method == "GET":
        assert found.lines("content-length") == (str(len(answer.body)),)
    if answer.status in {200, 404} and method == "GET":
        assert answer.body == body
