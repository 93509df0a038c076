"""Ranges of what is stored (RFC 9110, 14; RFC 9111, 3.3 and 3.4)."""

from __future__ import annotations

from support.http_steps import FRESH, STALE, Case, Step, cases, confirmed, hit, later, miss, play
from support.http_world import FRONTS

TAG, WEAK = 'ETag: "a"', 'ETag: W/"a"'
BODY = b"0123456789"
TEN = miss(FRESH, TAG, "Content-Type: text/x", body=BODY)
DATED = miss(FRESH, "Last-Modified: @-1000", "Date: @+0", body=BODY)


def part(wants: str, first: int, last: int) -> Step:
    """Return a step in which the client gets some bytes of ten."""
    has = f"Content-Range: bytes {first}-{last}/10\nContent-Length: {last - first + 1}\nAge: 0"
    return hit(wants=wants, status=206, body=BODY[first : last + 1], has=has)


def whole(wants: str, to: str = "GET /") -> Step:
    """Return a step in which the client gets all ten bytes."""
    return hit(wants=wants, to=to, body=BODY, has="Content-Length: 10", lacks="Content-Range")


def nothing(wants: str) -> Step:
    """Return a step in which there is no such range."""
    return hit(wants=wants, status=416, body=b"", has="Content-Range: bytes */10\nContent-Length: 0")


@cases(
    Case("9110-14.1.2 first and last", TEN, part("Range: bytes=2-4", 2, 4)),
    Case("9110-14.1.2 one byte", TEN, part("Range: bytes=0-0", 0, 0)),
    Case("9110-14.1.2 from", TEN, part("Range: bytes=7-", 7, 9)),
    Case("9110-14.1.2 the last ones", TEN, part("Range: bytes=-3", 7, 9)),
    Case("9110-14.1.2 more last ones than there are", TEN, part("Range: bytes=-99", 0, 9)),
    Case("9110-14.1.2 beyond the end", TEN, part("Range: bytes=5-99", 5, 9)),
    Case("9110-14.1.2 all", TEN, part("Range: bytes=0-", 0, 9)),
    Case("9110-14.1 the unit in capitals", TEN, part("Range: BYTES=2-4", 2, 4)),
    Case("9110-14.1.2 numbers of any length", TEN, part(f"Range: bytes=2-{'9' * 5000}", 2, 9)),
    Case("9110-15.5.17 behind the end", TEN, nothing("Range: bytes=10-")),
    Case("9110-15.5.17 far behind", TEN, nothing(f"Range: bytes={'9' * 5000}-")),
    Case("9110-15.5.17 the last none", TEN, nothing("Range: bytes=-0")),
    *[
        Case(f"9110-14.2 ignored {at}", TEN, whole(f"Range: {value}"))
        for at, value in enumerate(
            [
                "bytes=0-1,4-5",
                "lines=0-1",
                "bytes",
                "bytes=",
                "bytes=-",
                "bytes=a-b",
                "bytes=4-2",
                "bytes=+1-2",
                "bytes=1-2x",
                "",
                "bytes=0x1-2",
            ]
        )
    ],
    Case(
        "9110-14.2 of a HEAD",
        TEN,
        hit(to="HEAD /", wants="Range: bytes=0-1", has="Content-Length: 10", lacks="Content-Range"),
    ),
    Case("9110-13.1.5 if-range by etag", TEN, part('Range: bytes=2-4\nIf-Range: "a"', 2, 4)),
    Case("9110-13.1.5 if-range by another", TEN, whole('Range: bytes=2-4\nIf-Range: "b"')),
    Case(
        "9110-13.1.5 if-range by a weak one", miss(FRESH, WEAK, body=BODY), whole('Range: bytes=2-4\nIf-Range: W/"a"')
    ),
    Case(
        "9110-13.1.5 if-range by strong for weak",
        miss(FRESH, WEAK, body=BODY),
        whole('Range: bytes=2-4\nIf-Range: "a"'),
    ),
    Case("9110-13.1.5 if-range by date", DATED, part("Range: bytes=2-4\nIf-Range: @-1000", 2, 4)),
    Case("9110-13.1.5 if-range by a later date", DATED, whole("Range: bytes=2-4\nIf-Range: @-999")),
    Case("9110-13.1.5 if-range by garbage", TEN, whole("Range: bytes=2-4\nIf-Range: x")),
    Case("9110-13.1.5 if-range without range", TEN, whole('If-Range: "b"')),
    Case("9110-13.2.2 conditions come first", TEN, hit(wants='If-None-Match: "a"\nRange: bytes=0-1', status=304)),
    Case("9110-13.2.2 a condition that does not hold", TEN, part('If-None-Match: "b"\nRange: bytes=0-1', 0, 1)),
    Case(
        "9110-14.2 of a 404",
        miss(FRESH, status=404, body=BODY),
        hit(wants="Range: bytes=0-1", status=404, body=BODY, lacks="Content-Range"),
    ),
    Case("9110-14.2 of nothing", miss(FRESH, body=b""), hit(wants="Range: bytes=0-1", body=b"")),
    Case(
        "9110-15.3.7 the fields of a 206",
        TEN,
        hit(wants="Range: bytes=0-1", status=206, body=b"01", has=f"{TAG}\n{FRESH}\nContent-Type: text/x"),
    ),
    Case(
        "9111-3.4 of a body that lies apart",
        miss(FRESH, body=BODY * 5000),
        hit(wants="Range: bytes=40001-40003", status=206, body=b"123"),
    ),
    Case("9111-3.4 a range leaves the whole", TEN, part("Range: bytes=2-4", 2, 4), whole("")),
    Case(
        "9110-14.2 nothing stored: passed on",
        miss(FRESH, wants="Range: bytes=0-1", sees="Range: bytes=0-1", status=206, body=b"01"),
        miss(FRESH),
    ),
    Case(
        "9111-3.3 a 206 is not taken for a 200",
        miss(FRESH, "Content-Range: bytes 0-1/10", wants="Range: bytes=0-1", status=206, body=b"01"),
        miss(FRESH, body=BODY),
        whole(""),
    ),
    Case(
        "9111-3.3 a 206 leaves what is stored",
        TEN,
        miss(wants='Range: bytes=0-1\nIf-Match: "a"', status=206, body=b"01", sees="Range: bytes=0-1"),
        whole(""),
    ),
    Case(
        "9111-3.3 all for a range is stored",
        miss(FRESH, wants="Range: bytes=0-1", body=BODY),
        whole(""),
        part("Range: bytes=0-1", 0, 1),
    ),
    Case(
        "9111-4.3.1 stale: validated first",
        miss(STALE, TAG, body=BODY),
        confirmed(wants="Range: bytes=2-4", status=206, body=b"234", hides="Range", has="Content-Range: bytes 2-4/10"),
    ),
    Case(
        "9111-4.3.3 stale: a new one comes whole",
        miss(STALE, TAG, body=BODY),
        miss(FRESH, 'ETag: "b"', wants="Range: bytes=2-4", hides="Range", body=BODY),
        part("Range: bytes=2-4", 2, 4),
    ),
    Case(
        "9111-4.2.4 stale without a validator",
        miss("Cache-Control: max-age=1", body=BODY),
        later(1),
        miss(FRESH, wants="Range: bytes=2-4", status=206, body=b"234"),
    ),
    Case(
        "9110-15.5.17 nobody stores a 416",
        TEN,
        hit(wants="Range: bytes=99-", status=416, has="Cache-Control: no-store"),
    ),
    fronts=FRONTS,
)
def test_ranges(case: Case, front: str, namespace: str) -> None:
    """A range is cut from a stored 200; what the app cuts is passed on and not stored."""
    play(case, front, namespace)
