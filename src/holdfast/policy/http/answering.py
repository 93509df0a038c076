"""The answer from what is stored: its Age, the client's own conditions and range, and Cache-Status.

The order is that of RFC 9110, 13.2.2: conditions first, then the range.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast.policy.http.conditions import fields_of_304, not_modified
from holdfast.policy.http.fields import Pair, Pairs
from holdfast.policy.http.ranges import UNSATISFIABLE, Part, part_of, partial, unsatisfiable
from holdfast.policy.http.request import Request
from holdfast.policy.http.variants import Variant


class Answer(NamedTuple):
    """A whole response."""

    status: int
    fields: Pairs
    more: Pairs
    """Fields that belong to this one answer, behind the others."""
    body: bytes
    variant: Variant | None = None
    """If `fields` are those that this serves."""


_TIMEOUT_FIELDS: Final[Pairs] = (("Content-Length", "0"),)


def unsatisfied(more: Pairs) -> Answer:
    """Return the answer to a client that wants what is stored, or none (RFC 9111, 5.2.1.7)."""
    return Answer(504, _TIMEOUT_FIELDS, more, b"")


def answer_of(request: Request, variant: Variant, body: bytes, age: float, now: float, more: Pairs = ()) -> Answer:
    """Return the answer to a GET or HEAD from a stored response.

    Args:
        request: with the client's own conditions and range.
        variant: the stored response.
        body: of it.
        age: of it, in seconds.
        now: Unix seconds.
        more: fields to put behind those stored.
    """
    aged: Pair = ("Age", str(int(age)))
    status, stored = variant.stored.status, variant.stored
    if request.plain:
        return Answer(status, variant.served, (aged, *more), b"" if request.method == "HEAD" else body, variant)
    if 200 <= status < 300:  # conditions are for these (RFC 9110, 13.2.1)
        if not_modified(request.fields, variant.fields, stored.received, now):
            return Answer(304, fields_of_304(variant.served), (aged, *more), b"")
        ranged = status == 200 and not request.is_head
        part = part_of(request.fields, variant.fields, len(body), now) if ranged else None
        if isinstance(part, Part):
            cut = body[part.first : part.last + 1]
            return Answer(206, partial(variant.served, part, len(body)), (aged, *more), cut)
        if part is UNSATISFIABLE:
            return Answer(416, unsatisfiable(variant.served, len(body)), (aged, *more), b"")
    return Answer(status, variant.served, (aged, *more), b"" if request.is_head else body, variant)
