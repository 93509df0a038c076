"""Options of locks that cannot work are refused before anything is asked, and the message says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer
from support.calls import Sent

Make = Callable[..., Any]
MAKES: dict[str, Make] = {
    "lock": lambda layer, **options: layer.lock("k", **options),
    "semaphore": lambda layer, **options: layer.semaphore("k", 2, **options),
    "read": lambda layer, **options: layer.read_write_lock("k").read(**options),
    "write": lambda layer, **options: layer.read_write_lock("k").write(**options),
    "multi_lock": lambda layer, **options: layer.multi_lock(["k"], **options),
    "locked": lambda layer, **options: layer.locked("k", **options)(lambda: None),
}
COMMON: list[tuple[str, Any, str]] = [
    ("lease", 0, "lease=0 must be more than zero"),
    ("lease", -1, "lease=-1 must be more than zero"),
    ("lease", None, "lease=None is not a duration"),
    ("lease", True, "lease=True is not a duration"),
    ("lease", "soon", "lease='soon' is not a duration: write it like '90s'"),
    ("lease", "", "lease='' is not a duration"),
    ("lease", [], "lease=[] is not a duration"),
    ("lease", 0.0001, "lease=0.0001 is shorter than a millisecond"),
    ("lease", float("inf"), "lease=inf is too long"),
    ("lease", float("nan"), "lease=nan is too long"),
    ("lease", "2d", "lease='2d' is longer than a day"),
    ("lease", timedelta(0), "must be more than zero"),
    ("wait", -1, "wait=-1 must be zero or more"),
    ("wait", "soon", "wait='soon' is not a duration"),
    ("wait", True, "wait=True is not a duration"),
    ("wait", False, "wait=False is not a duration"),
    ("wait", [], "wait=[] is not a duration"),
    ("wait", float("inf"), "wait=inf is not a duration: None is for ever"),
    ("max_lifetime", 0, "max_lifetime=0 must be more than zero"),
    ("max_lifetime", -1, "max_lifetime=-1 must be more than zero"),
    ("max_lifetime", "long", "max_lifetime='long' is not a duration"),
    ("max_lifetime", True, "max_lifetime=True is not a duration"),
    ("cancel_on_loss", 1, "cancel_on_loss=1 must be True or False"),
    ("cancel_on_loss", None, "cancel_on_loss=None must be True or False"),
    ("cancel_on_loss", "no", "cancel_on_loss='no' must be True or False"),
    ("min_replicas", -1, "min_replicas=-1 must be a whole number from 0 to 1000000"),
    ("min_replicas", True, "min_replicas=True must be a whole number from 0 to 1000000"),
    ("min_replicas", 1.0, "min_replicas=1.0 must be a whole number from 0 to 1000000"),
    ("min_replicas", "1", "min_replicas='1' must be a whole number from 0 to 1000000"),
]
SOME: list[tuple[str, Any, str, set[str]]] = [
    ("fair", 1, "fair=1 must be True or False", {"lock", "multi_lock", "locked"}),
    ("fair", "yes", "fair='yes' must be True or False", {"lock", "multi_lock", "locked"}),
    ("reentrant", None, "reentrant=None must be True or False", {"lock", "locked"}),
    ("reentrant", 1, "reentrant=1 must be True or False", {"lock", "locked"}),
]


@pytest.mark.parametrize("kind", MAKES)
def test_what_cannot_work_is_refused(layer: Layer, kind: str) -> None:
    """When a lock is made, not when it is taken; the message names the option, and nothing is sent."""
    sent = Sent(layer)
    wrong = [*COMMON, *((name, value, why) for name, value, why, takers in SOME if kind in takers)]
    for name, value, why in wrong:
        with pytest.raises(ConfigurationError, match=re.escape(why)):
            MAKES[kind](layer, **{name: value})
    assert sent.names == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("lock", "leese"),
        ("lock", "ttl"),
        ("lock", "on_busy"),
        ("semaphore", "fair"),
        ("semaphore", "reentrant"),
        ("read", "fair"),
        ("write", "reentrant"),
        ("multi_lock", "reentrant"),
        ("locked", "leese"),
        ("locked", "permits"),
    ],
)
def test_an_unknown_option_is_refused(layer: Layer, kind: str, name: str) -> None:
    """The message names it, and those that there are."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        MAKES[kind](layer, **{name: 1})
    assert "lease" in str(caught.value)
    assert "wait" in str(caught.value)


@pytest.mark.parametrize("permits", [0, -1, True, False, None, "2", 2.0, 10**7])
def test_permits_are_a_whole_number(layer: Layer, permits: Any) -> None:
    """1 or more, and not absurdly many."""
    why = f"permits={permits!r} must be a whole number from 1 to 1000000"
    with pytest.raises(ConfigurationError, match=re.escape(why)):
        layer.semaphore("k", permits)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("abc", "multi_lock takes several names, such as ['account:1', 'account:2'], not 'abc'"),
        (None, "multi_lock takes several names"),
        (7, "multi_lock takes several names"),
        ([], "multi_lock needs at least one name"),
        ([""], "name is empty"),
        ([None], "name must be text, not NoneType"),
        ([["a"]], "name must be text, not list"),
        (b"abc", "name must be text, not int"),
    ],
)
def test_several_names(layer: Layer, names: Any, why: str) -> None:
    """One or more texts; one text alone is a mistake, not its letters."""
    with pytest.raises(ConfigurationError, match=re.escape(why)):
        layer.multi_lock(names)


@pytest.mark.parametrize("kind", MAKES)
def test_replicas_are_not_asked_for_in_memory(layer: Layer, kind: str) -> None:
    """There are none; 0 is no demand."""
    with pytest.raises(ConfigurationError, match="min_replicas= needs a Redis with replicas; memory:// has none"):
        MAKES[kind](layer, min_replicas=1)()  # a function finds its layer when it is called
    MAKES[kind](layer, min_replicas=0)


@pytest.mark.parametrize("lease", [30, 0.5, "30s", "1m30s", timedelta(minutes=1), "1d"])
def test_durations_as_everywhere(layer: Layer, lease: Any) -> None:
    """Seconds, text or `timedelta`, for the lease, the wait and the longest lifetime."""
    with layer.lock("k", lease=lease, wait=lease, max_lifetime=lease) as held:
        assert held.remaining > 0


def test_a_lease_is_no_longer_than_the_longest_lifetime(layer: Layer) -> None:
    """The lock of a process that dies is not kept beyond it."""
    with layer.lock("k", lease=60, max_lifetime=5) as held:
        assert 4 < held.remaining <= 5
