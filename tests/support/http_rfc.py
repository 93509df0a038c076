"""Messages for tests of the HTTP cache's decisions, and a naive model of RFC 9111 to hold these decisions against.

The model reads no text. It knows what was drawn, and the text that the decisions read is written from that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from holdfast.policy.http.dates import format_date
from holdfast.policy.http.fields import Fields, Pairs
from holdfast.policy.http.request import REMARKABLE, Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Stored
from holdfast.policy.http.target import Target
from holdfast.policy.http.variants import Variant, variant_of
from holdfast.policy.http.vary import values_of

NOW: Final = 1_790_000_000.0
"""When responses are received, Unix seconds."""
DAY: Final = 86_400.0
TARGET: Final = Target("https", "shop.example", "/shop/p", "x=1")
RULES: Final = Rules()
GUESSABLE: Final = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}
"""Statuses that a cache may guess a lifetime for (RFC 9110, 15.1)."""
_RELATIVE: Final = re.compile(r"@([+-]\d+)")


def fields_of(*lines: str) -> Fields:
    """Return fields from lines as `Name: value`, in which `@-10` stands for the date ten seconds before `NOW`."""
    parted = [line.partition(":") for line in lines]
    return Fields([(name, _RELATIVE.sub(lambda at: format_date(NOW + int(at[1])), v.strip())) for name, _, v in parted])


def request_of(*lines: str, method: str = "GET", extras: Pairs = ()) -> Request:
    """Return a request for `TARGET`."""
    fields = fields_of(*lines)
    return Request(method, TARGET, fields, "key", not any(name in fields for name in REMARKABLE), extras)


def stored_of(
    *lines: str,
    name: str = "one",
    status: int = 200,
    by: Request | None = None,
    names: tuple[str, ...] = (),
    received: float = NOW,
    body: bytes = b"the body",
    anonymous: bool = True,
) -> Stored:
    """Return a stored response; `by` is the request that brought it, selected by `names`."""
    by = by or request_of()
    values, fields = values_of(names, by.fields), fields_of(*lines).pairs
    until, size = received + DAY, len(body)
    return Stored(
        name, status, fields, names, values, received, received, until, size, body, anonymous, extras=by.extras
    )


def variant(
    *lines: str,
    rules: Rules = RULES,
    name: str = "one",
    status: int = 200,
    by: Request | None = None,
    names: tuple[str, ...] = (),
    received: float = NOW,
    body: bytes = b"the body",
) -> Variant:
    """Return a stored response that is ready to be judged."""
    return variant_of(
        stored_of(*lines, name=name, status=status, by=by, names=names, received=received, body=body), rules
    )


@dataclass(frozen=True, slots=True)
class Told:
    """The members of Cache-Control or its like."""

    flags: frozenset[str]
    times: tuple[tuple[str, int], ...]

    def time(self, name: str) -> int | None:
        """Return the argument of a directive, None if it is not there."""
        return dict(self.times).get(name)

    @property
    def text(self) -> str:
        """The value of the field."""
        return ", ".join([*sorted(self.flags), *(f"{name}={seconds}" for name, seconds in self.times)])


@dataclass(frozen=True, slots=True)
class Response:
    """What a response says. Times are in seconds, dates count from its receipt, None is an absent field."""

    status: int
    control: Told
    aimed: Told | None
    """CDN-Cache-Control."""
    date: int | None
    expires: int | None
    modified: int | None
    age: int | None
    etag: str | None
    cookie: bool
    """Whether it sets one."""
    vary: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """It, as lines of fields."""
        dates = {"Date": self.date, "Expires": self.expires, "Last-Modified": self.modified}
        lines = [f"{name}: @{seconds:+d}" for name, seconds in dates.items() if seconds is not None]
        lines += [f"Cache-Control: {self.control.text}"] if self.control.text else []
        lines += [f"CDN-Cache-Control: {self.aimed.text}"] if self.aimed else []
        lines += [] if self.age is None else [f"Age: {self.age}"]
        lines += [f"ETag: {self.etag}"] if self.etag else []
        lines += ["Set-Cookie: a=b"] if self.cookie else []
        return lines + ([f"Vary: {', '.join(self.vary)}"] if self.vary else [])

    def counts(self, rules: Rules) -> Told:
        """Return the directives that are in force (RFC 9213, 2.2)."""
        return self.aimed if self.aimed is not None and rules.targets else self.control

    def forbids_stale(self, rules: Rules) -> bool:
        """Say whether it must not be served stale (RFC 9111, 4.2.4)."""
        said = self.counts(rules)
        return (
            bool(said.flags & {"must-revalidate", "proxy-revalidate", "no-cache"}) or said.time("s-maxage") is not None
        )

    def explicit(self, rules: Rules) -> float | None:
        """Return the lifetime that it gives itself (RFC 9111, 4.2.1)."""
        said = self.counts(rules)
        for name in ("s-maxage", "max-age"):
            if (seconds := said.time(name)) is not None:
                return seconds
        if self.expires is None or said is self.aimed:
            return None
        return max(0, self.expires - (self.date or 0))

    def guessed(self, rules: Rules, *, anonymous: bool) -> float:
        """Return the lifetime to guess where it gives itself none (RFC 9111, 4.2.2)."""
        said, made = self.counts(rules), self.date or 0
        if not anonymous:
            return 0
        may = rules.heuristic and (self.status in GUESSABLE or "public" in said.flags)
        if may and self.modified is not None and self.modified < made:
            return min((made - self.modified) / 10, DAY)
        return rules.default_ttl if self.status == 200 and "no-cache" not in said.flags else 0

    def lifetime(self, rules: Rules, *, anonymous: bool) -> float:
        """Return for how long it is fresh."""
        explicit = self.explicit(rules)
        return self.guessed(rules, anonymous=anonymous) if explicit is None else explicit

    def initial_age(self, delay: float) -> float:
        """Return its age when it was received (RFC 9111, 4.2.3).

        The delay is added to the Age of another cache alone: without one, the app has made the response just now.
        """
        return max(0.0, -(self.date or 0), 0.0 if self.age is None else self.age + delay)


@dataclass(frozen=True, slots=True)
class Wants:
    """What a request says to caches."""

    told: Told
    any_stale: bool
    """Whether its max-stale has no argument."""
    others: tuple[str, ...]
    """Its other fields."""

    @property
    def request(self) -> Request:
        """The request."""
        text = ", ".join([*filter(None, [self.told.text]), *(["max-stale"] if self.any_stale else [])])
        return request_of(*([f"Cache-Control: {text}"] if text else []), *self.others)

    @property
    def max_stale(self) -> float | None:
        """For how many seconds it takes stale responses; None: it does not say so."""
        seconds = self.told.time("max-stale")
        return float("inf") if self.any_stale and seconds is None else seconds


SECONDS: Final = st.sampled_from([0, 1, 5, 10, 11, 20, 30, 60, 100, 2**31])


def _told(flags: list[str], times: list[str]) -> st.SearchStrategy[Told]:
    timed = st.tuples(st.sampled_from(times), SECONDS)
    return st.builds(
        Told,
        st.frozensets(st.sampled_from(flags), max_size=2),
        st.lists(timed, unique_by=lambda each: each[0], max_size=3).map(tuple),
    )


_FLAGS = ["no-store", "no-cache", "private", "public", "must-revalidate", "proxy-revalidate", "must-understand"]
_TIMES = ["max-age", "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"]
CONTROLS: Final = _told([*_FLAGS, "immutable"], _TIMES)
OFFSETS: Final = st.sampled_from([None, None, -100_000, -40, -11, -10, -1, 0, 1, 10, 11, 40, 100_000])
RESPONSES: Final = st.builds(
    Response,
    status=st.sampled_from([200, 200, 200, 404, 302, 500, 299, 206, 304]),
    control=CONTROLS,
    aimed=st.none() | st.none() | CONTROLS.filter(lambda told: bool(told.text)),
    date=OFFSETS,
    expires=OFFSETS,
    modified=OFFSETS,
    age=st.none() | SECONDS,
    etag=st.sampled_from([None, '"a"', 'W/"a"', '"b"']),
    cookie=st.sampled_from([False, False, True]),
    vary=st.sampled_from([(), (), ("accept-language",), ("Accept-Language", "x-a"), ("*",)]),
)
_OTHERS = ["Authorization: Basic YTpi", "Cookie: a=b", "Accept-Language: de", "Accept-Language: en", "X-A: 1"]
WANTS: Final = st.builds(
    Wants,
    _told(["no-cache", "no-store", "only-if-cached"], ["max-age", "min-fresh", "max-stale", "stale-if-error"]),
    st.booleans(),
    st.lists(st.sampled_from(_OTHERS), unique_by=lambda line: line[:8], max_size=2).map(tuple),
)
RULE_SETS: Final = st.builds(
    Rules,
    targets=st.sampled_from([("cdn-cache-control",), ()]),
    default_ttl=st.sampled_from([0.0, 0.0, 20.0]),
    heuristic=st.booleans(),
    set_cookie=st.sampled_from(["public", "store", "strip", "refuse"]),
    vary=st.sampled_from([(), ("x-b",)]),
    ignore_vary=st.sampled_from([frozenset[str](), frozenset({"x-a"})]),
    stale_if_raises=st.sampled_from([0.0, 15.0]),
    honour_clients=st.booleans(),
)
_NAMES = ["Cache-Control", "CDN-Cache-Control", "Date", "Expires", "Age", "Last-Modified", "ETag", "Vary", "Connection"]
_MORE_NAMES = ["Content-Length", "Content-Range", "Set-Cookie", "Content-Location", "Trailer", "Range", "If-Range"]
_ASKING_NAMES = ["If-None-Match", "If-Modified-Since", "If-Match", "Pragma", "Accept-Language", "Authorization"]
_DATE = format_date(NOW - 10)
_VALUES = [_DATE, "max-age=9", "no-cache", '"a"', 'W/"a"', "*", "bytes=0-1", "accept-language", "cache-control", "5, 6"]
TEXTS: Final = (
    st.sampled_from([*_VALUES, "9" * 5000, "max-stale", "max-age=" + "9" * 5000, "max-age=9, stale-while-revalidate=9"])
    | st.text(st.sampled_from('aW/"*,;= \t\\\r\n\x00\xe9-0199:GMT'), max_size=20)
    | st.text(max_size=8)
)
PAIRS: Final = st.lists(
    st.tuples(st.sampled_from([*_NAMES, *_MORE_NAMES, *_ASKING_NAMES]) | TEXTS, TEXTS), max_size=8
).map(tuple)
"""Fields of messages that nobody should send."""
