"""Durations as users type them, turned into seconds. No clock here."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.typing import Duration

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_LONGEST: Final = 100 * 365 * 86400.0
"""A hundred years in seconds; far below the largest PX that Redis accepts."""


def seconds(duration: Duration, name: str = "duration", *, zero: bool = False) -> float:
    """Return a duration in seconds.

    Args:
        duration: seconds, `timedelta`, or text such as ``"90s"``, ``"5m"``, ``"1h30m"``, ``"7d"``.
        name: what the duration is, for the error message.
        zero: whether 0 is meaningful (an optional extra time) or a mistake (a time to live).

    Raises:
        ConfigurationError: not a duration, not finite, negative, or zero where that has no meaning.
    """
    value = _parse(duration, name)
    if not math.isfinite(value) or value > _LONGEST:
        msg = f"{name}={duration!r} is too long: give a finite duration of at most a hundred years"
        raise ConfigurationError(msg)
    if value < 0 or (value == 0 and not zero):
        msg = f"{name}={duration!r} must be {'zero or more' if zero else 'more than zero'}"
        raise ConfigurationError(msg)
    if 0 < value < 0.001:
        msg = f"{name}={duration!r} is shorter than a millisecond, the shortest time that Redis keeps"
        raise ConfigurationError(msg)
    return value


def _parse(duration: Duration | None, name: str) -> float:
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, str):
        return _parse_text(duration, name)
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        return float(duration)
    advice = "there is no 'for ever': say how long" if duration is None else "give seconds, a timedelta or text"
    msg = f"{name}={duration!r} is not a duration: {advice}, for example 300, timedelta(minutes=5) or '5m'"
    raise ConfigurationError(msg)


def _parse_text(text: str, name: str) -> float:
    compact = text.strip().lower().replace(" ", "")
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        msg = f"{name}={text!r} is not a duration: write it like '90s', '5m', '1h30m' or '7d'"
        raise ConfigurationError(msg)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
