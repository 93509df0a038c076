"""Quotas: how much of something is permitted in which time, as users type it.

    "100/minute"   "10/second; burst=20"   "1000/day; algorithm=sliding_log; name=daily, 10/second"

A bucket, which is what counts, is named by its key, the algorithm and the policy's name: not by the limit, so that a
limit that changes keeps what was consumed under it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeAlias, cast, get_args

from holdfast._durations import seconds
from holdfast.errors import ConfigurationError
from holdfast.typing import Duration

Algorithm: TypeAlias = Literal["gcra", "fixed_window", "sliding_counter", "sliding_log"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)

_LARGEST: Final = 10**12
_MOST: Final = 16
"""Quotas in one text or sequence: each is a bucket to look at in every hit."""
_LONGEST: Final = 2000
"""Characters of a text: texts are remembered, and repeated in messages."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,79}")
_ITEM: Final = re.compile(r"(\d+(?:_\d+)*) ?/ ?(.+)", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,3}(?:_?\d){0,15}", re.ASCII)
"""Few enough digits for `int`, which refuses thousands of them with another error."""
_PERIODS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_COUNTED: Final = re.compile(r"(\d+(?:\.\d+)?) ?([a-z]+)", re.ASCII)
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+", re.ASCII)
_THOUSANDS: Final = re.compile(r"(?<![\d,])(\d{1,3}(?:,\d{3})+)(?= ?/)", re.ASCII)
_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Quota:
    """How much is permitted: at most `limit` units `per` period.

    Args:
        limit: units, 1 or more.
        per: the period: seconds, a `timedelta`, or text such as ``"1m"``.
        burst: how many units may pass at once (only for ``"gcra"``); the limit, unless given. After that they pass one
            by one, at the rate of limit / per, so that at most limit + burst pass in any period.
        algorithm: ``"gcra"``; ``"fixed_window"`` (a new window begins with the first unit after the last one, so that
            twice the limit may pass around a boundary); ``"sliding_counter"`` (two windows weighed: close to the limit
            for steady traffic, less than twice as much in the worst case); ``"sliding_log"`` (never more than the limit
            in any period, but memory for every hit of a period).
        name: of the policy, in decisions, header fields and keys: lower case. Without it the period gives one, such as
            ``"per-minute"``.

    Raises:
        ConfigurationError: one of them cannot work; the message says what would.

    Example:
        >>> from holdfast import Quota
        >>> Quota(100, "1m").name
        'per-minute'
    """

    limit: int
    per: Duration
    burst: int | None = None
    algorithm: Algorithm = "gcra"
    name: str = ""
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __init__(
        self,
        limit: int,
        per: Duration,
        *,
        burst: int | None = None,
        algorithm: Algorithm = "gcra",
        name: str | None = None,
    ) -> None:
        if algorithm not in ALGORITHMS:
            msg = f"algorithm={algorithm!r} is not known: it is one of {', '.join(ALGORITHMS)}"
            raise ConfigurationError(msg)
        if burst is not None and algorithm != "gcra":
            msg = f"burst={burst!r} means something for algorithm='gcra' only; {algorithm} lets `limit` pass at once"
            raise ConfigurationError(msg)
        if isinstance(per, str) and not _is_period(per):
            raise ConfigurationError(f"per={_no_period(per)}")
        period = seconds(_period(per), "per")
        put = object.__setattr__  # it is frozen for everybody else
        put(self, "limit", _count(limit, "limit"))
        put(self, "per", period)
        put(self, "burst", None if burst is None else _count(burst, "burst"))
        put(self, "algorithm", algorithm)
        put(self, "name", _default_name(period) if name is None else _checked_name(name))
        put(self, "_hash", hash((self.limit, period, self.burst, algorithm, self.name)))

    def __hash__(self) -> int:
        return self._hash  # quotas are looked up in every hit

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.limit, self.per, self.burst, self.algorithm, self.name)  # another process hashes anew

    @property
    def period(self) -> float:
        """The period in seconds."""
        return cast("float", self.per)

    @property
    def most(self) -> int:
        """Units that may pass at once: no single hit can ever cost more."""
        return self.limit if self.burst is None else self.burst

    def named(self, name: str) -> Quota:
        """Return the same quota under another name."""
        if name == self.name:
            return self
        return Quota(self.limit, self.per, burst=self.burst, algorithm=self.algorithm, name=name)

    @property
    def bucket(self) -> str:
        """What names its buckets beside their key."""
        return f"{self.algorithm}:{self.name}"


Quotas: TypeAlias = str | Quota | Sequence["str | Quota"]
"""One or more quotas: text, `Quota`, or a sequence of these."""


def quotas_of(given: Quotas) -> tuple[Quota, ...]:
    """Return the quotas that a user means.

    Raises:
        ConfigurationError: not quotas, or two of them that would share a bucket.

    Example:
        >>> [quota.limit for quota in quotas_of("10/second, 1000/hour")]
        [10, 1000]
    """
    if isinstance(given, str):
        if len(given) > _LONGEST:
            msg = f"a quota of {len(given)} characters, beginning with {given[:40]!r}, is too long: {_LONGEST} at most"
            raise ConfigurationError(msg)
        return _parsed(given)
    if isinstance(given, Quota):
        return (given,)
    if not isinstance(given, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f"a quota is text such as '100/minute', or Quota(100, '1m'), not {type(given).__name__}"
        raise ConfigurationError(msg)
    return _checked([quota for each in given for quota in quotas_of(each)])


@lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[Quota, ...]:
    return _checked([_parse(item, text) for item in text.split(",")])


def _checked(quotas: list[Quota]) -> tuple[Quota, ...]:
    if not quotas:
        raise ConfigurationError("there is no quota in what was given: give one or more, such as '100/minute'")
    if len(quotas) > _MOST:
        msg = f"{len(quotas)} quotas for one key: give from 1 to {_MOST}"
        raise ConfigurationError(msg)
    seen: set[str] = set()
    for quota in quotas:
        if quota.bucket in seen:
            msg = (
                f"two quotas called {quota.name!r} would count in one bucket: "
                f"give one of them another name, as in '{_text(quota)}; name={quota.name[:70]}-{len(quotas)}'"
            )
            raise ConfigurationError(msg)
        seen.add(quota.bucket)
    return tuple(quotas)


def _parse(item: str, text: str) -> Quota:
    amount, *settings = (part.strip() for part in item.split(";"))
    found = _ITEM.fullmatch(amount)
    if found is None or not _is_period(found[2]):
        raise ConfigurationError(f"quota {text!r}: {_complaint(amount, text, found)}")
    options: dict[str, str] = {}
    for setting in settings:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or name not in ("burst", "algorithm", "name") or name in options:
            msg = f"quota {text!r}: {setting!r} is not one of burst=20, algorithm=sliding_log, name=daily, once each"
            msg += "; several quotas are separated by ','" if _ITEM.fullmatch(setting) else ""
            raise ConfigurationError(msg)
        options[name] = value
    burst = options.get("burst")
    return Quota(
        _number(found[1], text),
        found[2],
        burst=None if burst is None else _number(burst, text),
        algorithm=cast("Algorithm", options.get("algorithm", "gcra")),
        name=options.get("name"),
    )


def _complaint(amount: str, text: str, found: re.Match[str] | None) -> str:
    """Return what is wrong with the part of a text before the options."""
    thousands = _THOUSANDS.search(text)
    if thousands and amount.isdecimal():
        number = int(thousands[1].replace(",", ""))
        return f"',' separates quotas: write {number} or {number:_}"
    if found is None:
        return f"{amount!r} is not like '100/minute', '5/30s' or '10/second; burst=20'"
    return _no_period(found[2]) + ("; options come behind ';'" if " " in found[2] else "")


def _no_period(word: str) -> str:
    return f"{word!r} is no period: write second, minute, hour, day or week, or a duration such as '30s'"


def _number(digits: str, text: str) -> int:
    if not _NUMBER.fullmatch(digits):
        msg = f"quota {text!r}: {digits!r} is not a whole number up to 10**12"
        raise ConfigurationError(msg)
    return int(digits)


def _rebuild(limit: int, per: float, burst: int | None, algorithm: Algorithm, name: str) -> Quota:
    return Quota(limit, per, burst=burst, algorithm=algorithm, name=name)


def _period(per: Duration) -> Duration:
    """Return a period that `seconds` understands: words such as "minute" and "15 minutes" become seconds."""
    if not isinstance(per, str):
        return per
    word = per.strip().lower()
    counted = _COUNTED.fullmatch(word)
    count, word = (float(counted[1]), counted[2]) if counted else (1.0, word)
    length = _PERIODS.get(word.removesuffix("s")) if len(word) > 1 else None
    return per if length is None else count * length


def _is_period(text: str) -> bool:
    return not isinstance(_period(text), str) or _DURATION.fullmatch(text.lower().replace(" ", "").strip()) is not None


def _text(quota: Quota) -> str:
    """Return a quota as a user may have typed it, without its name."""
    burst = "" if quota.burst is None else f"; burst={quota.burst}"
    algorithm = "" if quota.algorithm == "gcra" else f"; algorithm={quota.algorithm}"
    return f"{quota.limit}/{_default_name(quota.period).removeprefix('per-')}{burst}{algorithm}"


def _default_name(period: float) -> str:
    for word, length in _PERIODS.items():
        if period == length:
            return f"per-{word}"
    microseconds = round(period * 1_000_000)
    if microseconds % 1000:
        return f"per-{microseconds}us"
    if microseconds % 1_000_000:
        return f"per-{microseconds // 1000}ms"
    rest, parts = microseconds // 1_000_000, ""
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        parts += f"{count}{unit}" if count else ""
    return f"per-{parts}"


def _checked_name(name: str) -> str:
    # Callers are often untyped.
    if not isinstance(name, str) or not _NAME.fullmatch(name):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"name={name!r} must be lower-case letters, digits, '-', '_' and '.', a letter first, 80 at most"
        raise ConfigurationError(msg)
    return name


def _count(value: int, name: str) -> int:
    # Callers are often untyped.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"{name}={value!r} must be a whole number from 1 to 10**12"
        raise ConfigurationError(msg)
    return int(value)  # a member of an IntEnum is none that Redis takes
