"""What users say of a lock besides its name, checked once for each combination."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any, Final, TypedDict

from holdfast._durations import seconds
from holdfast.errors import ConfigurationError
from holdfast.typing import Duration

_SHORTEST_LEASE: Final = 0.01
_LONGEST_LEASE: Final = 24 * 3600.0
_MOST: Final = 10**6


class LeaseOptions(TypedDict, total=False):
    """The options that all locks have; `Layer.lock` explains each."""

    lease: Duration
    wait: Duration | None
    max_lifetime: Duration | None
    cancel_on_loss: bool
    min_replicas: int


class MultiLockOptions(LeaseOptions, total=False):
    """The options of several locks at once."""

    fair: bool


class LockOptions(MultiLockOptions, total=False):
    """The options of a lock."""

    reentrant: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """How a lock is held."""

    lease: float = 30.0
    wait: float | None = None
    max_lifetime: float | None = None
    cancel_on_loss: bool = False
    min_replicas: int = 0
    fair: bool = False
    reentrant: bool = False


def checked_terms(options: LeaseOptions, *, lease: Duration = 30) -> Terms:
    """Return what a user said, or raise.

    Args:
        options: as given.
        lease: the usual one.

    Raises:
        ConfigurationError: one of them cannot work; the message names it.
    """
    given: Any = options  # which of the kinds of options they are, their keys say
    said = (
        options.get("lease", lease),
        options.get("wait"),
        options.get("max_lifetime"),
        options.get("cancel_on_loss", False),
        options.get("min_replicas", 0),
        given.get("fair", False),
        given.get("reentrant", False),
    )
    try:
        return _remembered(*said)
    except TypeError:  # what has no hash is no duration either, and the message says so
        return _checked(*said)


def _checked(
    lease: Any, wait: Any, max_lifetime: Any, cancel_on_loss: Any, min_replicas: Any, fair: Any, reentrant: Any
) -> Terms:
    for name, flag in (("cancel_on_loss", cancel_on_loss), ("fair", fair), ("reentrant", reentrant)):
        if not isinstance(flag, bool):
            msg = f"{name}={flag!r} must be True or False"
            raise ConfigurationError(msg)
    length = lease_seconds(lease)
    lifetime = None if max_lifetime is None else seconds(max_lifetime, "max_lifetime")
    return Terms(
        length if lifetime is None else min(length, lifetime),
        _wait_seconds(wait),
        lifetime,
        cancel_on_loss,
        checked_count(min_replicas, "min_replicas", 0),
        fair,
        reentrant,
    )


def _wait_seconds(wait: Any) -> float | None:
    if wait is None:
        return None
    if isinstance(wait, bool) or wait == inf:
        msg = f"wait={wait!r} is not a duration: None is for ever, 0 is not at all, and '5s' is five seconds"
        raise ConfigurationError(msg)
    return seconds(wait, "wait", zero=True)


def lease_seconds(lease: Duration) -> float:
    """Return the seconds of a lease, at most a day.

    Raises:
        ConfigurationError: it is longer, or no duration.
    """
    length = seconds(lease, "lease")
    if length > _LONGEST_LEASE:
        msg = (
            f"lease={lease!r} is longer than a day: it is renewed for as long as the lock is held, and says only how "
            "long others wait for one whose holder has died"
        )
        raise ConfigurationError(msg)
    if length < _SHORTEST_LEASE:
        msg = f"lease={lease!r} is over before anything can be done under it: give at least a hundredth of a second"
        raise ConfigurationError(msg)
    return length


_remembered = lru_cache(1024, typed=True)(_checked)


def checked_count(value: int, name: str, least: int) -> int:
    """Return a whole number that is neither too small nor too large to make sense.

    Raises:
        ConfigurationError: it is not.
    """
    # Callers are often untyped.
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"{name}={value!r} must be a whole number from {least} to {_MOST}"
        raise ConfigurationError(msg)
    return int(value)
