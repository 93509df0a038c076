"""HTTP-date (RFC 9110, 5.6.7), read in its three forms and written in the one that is still sent.

Strict: a date that is nearly one is none, for whoever reads it in some way of their own finds another time than we do.
Two things are lenient: capitals do not matter, and the day of the week may be a wrong one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTHS)})"

_DAY_SECONDS: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_FIRST: Final = (date.min.toordinal() - _EPOCH) * _DAY_SECONDS
_LAST: Final = (date.max.toordinal() + 1 - _EPOCH) * _DAY_SECONDS - 1
_AHEAD: Final = 50
"""Years that a date with a two-digit year may be ahead."""


def _pattern(days: Sequence[str], rest: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(days)}){rest}", re.ASCII | re.IGNORECASE)


_IMF_FIXDATE: Final = _pattern(_DAYS, rf", (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT")
_RFC850: Final = _pattern(_LONG_DAYS, rf", (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT")
_ASCTIME: Final = _pattern(_DAYS, rf" {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})")


def parse_date(text: str, now: float) -> int | None:
    """Return the time that an HTTP-date names, in Unix seconds; None if it is no HTTP-date, or no time at all.

    Args:
        text: the value of a field, without space around it.
        now: Unix seconds. A year of two digits is the latest that is not more than 50 years ahead of it.

    Example:
        >>> parse_date("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)
        784111777
    """
    found = _IMF_FIXDATE.fullmatch(text) or _ASCTIME.fullmatch(text) or _RFC850.fullmatch(text)
    if found is None:
        return None
    month = _NUMBERS[found["month"].lower()]
    day, hour, minute, second = [int(found[name]) for name in ("day", "hour", "minute", "second")]
    if hour > 23 or minute > 59 or second > 60:  # 60 is a leap second
        return None
    year = int(found["year"])
    if found.re is _RFC850:
        year = _full_year(year, (month, day, hour, minute, second), now)
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:  # 31 November, or the year 0
        return None
    return days * _DAY_SECONDS + hour * 3600 + minute * 60 + second


def format_date(seconds: float) -> str:
    """Return the second that a time lies in as an IMF-fixdate.

    Args:
        seconds: Unix seconds. What lies before the year 1 or behind 9999 becomes the nearest time that can be written.
    """
    when = datetime.fromtimestamp(math.floor(min(max(seconds, _FIRST), _LAST)), UTC)
    day, month = _DAYS[when.weekday()], _MONTHS[when.month - 1]
    return f"{day}, {when.day:02} {month} {when.year:04} {when.hour:02}:{when.minute:02}:{when.second:02} GMT"


def _full_year(last_digits: int, rest: tuple[int, ...], now: float) -> int:
    """Return the latest year with these digits in which the date is at most 50 years ahead."""
    today = datetime.fromtimestamp(now, UTC)
    limit = today.year + _AHEAD
    year = limit - (limit - last_digits) % 100
    if year == limit and rest > (today.month, today.day, today.hour, today.minute, today.second):
        year -= 100
    return year
