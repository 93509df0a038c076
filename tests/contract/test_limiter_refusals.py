"""Arguments of limits that cannot work are refused before anything is asked or consumed, and the message says why."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, Quota
from support.colours import Colour
from support.staged import Stage

VERBS: dict[str, tuple[Any, ...]] = {
    "hit": ("1/day", "k"),
    "hit_all": ([("1/day", "k")],),
    "peek": ("1/day", "k"),
    "reset": ("1/day", "k"),
    "refund": ("1/day", "k"),
    "throttle": ("1/day", "k"),
}
"""What each verb is called with, but for what is wrong."""

QUOTAS: list[tuple[Any, str]] = [
    (None, "a quota is text such as '100/minute', or Quota(100, '1m'), not NoneType"),
    (100, "a quota is text such as '100/minute', or Quota(100, '1m'), not int"),
    ({}, "not dict"),
    ([7], "not int"),
    ("", "quota '': '' is not like '100/minute', '5/30s' or '10/second; burst=20'"),
    ([], "there is no quota in what was given: give one or more"),
    ("100", "'100' is not like '100/minute'"),
    ("ten/minute", "'ten/minute' is not like '100/minute'"),
    ("1.5/minute", "is not like '100/minute'"),
    ("-1/minute", "is not like '100/minute'"),
    ("0/minute", "limit=0 must be a whole number from 1 to 10**12"),
    ("1/fortnight", "'fortnight' is no period: write second, minute, hour"),
    ("1/0s", "per="),
    ("1/minute,", "'' is not like '100/minute'"),
    ("1/minute; bursts=2", "'bursts=2' is not one of burst=20, algorithm=sliding_log, name=daily, once each"),
    ("1/minute; burst=2; burst=3", "'burst=3' is not one of"),
    ("1/minute; burst=two", "is not a whole number"),
    ("1/minute; burst=0", "burst=0 must be a whole number from 1"),
    ("1/minute; algorithm=bucket", "algorithm='bucket' is not known: it is one of gcra, fixed_window, sliding_counter"),
    ("1/minute; algorithm=sliding_log; burst=2", "burst=2 means something for algorithm='gcra' only"),
    ("1/minute; name=Strict", "name='Strict' must be lower-case letters"),
    ("1/minute, 2/minute", "two quotas called 'per-minute' would count in one bucket: give one of them another name"),
    (["1/minute", Quota(2, 60)], "two quotas called 'per-minute' would count in one bucket"),
    ([f"1/{number}s" for number in range(1, 18)], "17 quotas for one key: give from 1 to 16"),
]
KEYS: list[tuple[Any, str]] = [
    (None, "a limit's key must be text, not NoneType"),
    (42, "a limit's key must be text, not int"),
    (b"user", "a limit's key must be text, not bytes"),
    ("", "a limit's key is empty: give a name"),
]
COSTS: list[tuple[Any, str]] = [
    (cost, f"cost={cost!r} must be a whole number of units, 0 or more")
    for cost in (-1, 1.5, "1", None, True, 10**12 + 1)
]
COMMON: list[tuple[str, Any, str]] = [
    ("budget", 0, "budget=0 must be more than zero"),
    ("budget", None, "budget=None is not a duration"),
    ("budget", -1, "budget=-1 must be more than zero"),
    ("budget", "soon", "budget='soon' is not a duration: write it like '90s'"),
    ("budget", [], "budget=[] is not a duration"),
    ("on_failure", "raise", "on_failure='raise' must be 'open' (admit), 'closed' (refuse) or 'local' (count in this"),
    ("on_failure", None, "on_failure=None must be 'open'"),
    ("on_failure", [], "on_failure=[] must be 'open'"),
    ("shadow", "no", "shadow='no' must be True (only count and report) or False (refuse)"),
    ("shadow", None, "shadow=None must be True"),
    ("colocate", "", "colocate= is empty: give a name"),
    ("colocate", 7, "colocate= must be text, not int"),
    ("max_wait", -1, "max_wait=-1 must be zero or more"),
    ("max_wait", None, "max_wait=None is not a duration"),
    ("max_wait", timedelta(days=-1), "must be zero or more"),
    ("max_wait", float("inf"), "max_wait=inf is too long"),
]
ACCEPTS = {
    "hit": {"cost", "budget", "on_failure", "shadow", "colocate"},
    "hit_all": {"cost", "budget", "on_failure", "shadow", "colocate"},
    "peek": {"cost", "budget", "colocate"},
    "reset": {"colocate"},
    "refund": {"cost", "colocate"},
    "throttle": {"cost", "budget", "on_failure", "colocate", "max_wait"},
}


def refused(colour: Colour, layer: Layer, verb: str, args: tuple[Any, ...], options: dict[str, Any], why: str) -> None:
    async def scenario() -> None:
        stage = Stage(layer)
        with pytest.raises(ConfigurationError, match=re.escape(why)):
            await getattr(colour.of(layer.limiter), verb)(*args, **options)
        assert stage.sent == []

    colour.run(scenario)


@pytest.mark.parametrize("verb", VERBS)
def test_what_no_verb_can_work_with_is_refused(colour: Colour, layer: Layer, verb: str) -> None:
    """Quotas, keys, costs and all options, in every verb that takes them; nothing is sent."""
    fixed = {"max_wait": 1} if verb == "throttle" else {}
    with_hits = verb == "hit_all"
    for quota, why in QUOTAS:
        refused(colour, layer, verb, ([(quota, "k")],) if with_hits else (quota, "k"), fixed, why)
    for key, why in KEYS:
        refused(colour, layer, verb, ([("1/day", key)],) if with_hits else ("1/day", key), fixed, why)
    for cost, why in COSTS if "cost" in ACCEPTS[verb] else ():
        refused(colour, layer, verb, VERBS[verb], {**fixed, "cost": cost}, why)
    for name, value, why in COMMON:
        if name in ACCEPTS[verb]:
            refused(colour, layer, verb, VERBS[verb], {**fixed, name: value}, why)


@pytest.mark.parametrize(
    ("hits", "why"),
    [
        ([], "hit_all takes one or more (quota, key), and no two that count in one bucket"),
        (None, "hit_all takes several (quota, key), such as [('10/second', 'address:10.0.0.7')"),
        ("1/day", "hit_all takes several (quota, key)"),
        (["1/day"], "hit_all takes several (quota, key)"),
        ([("1/day",)], "hit_all takes several (quota, key)"),
        ([("1/day", "k", 1)], "hit_all takes several (quota, key)"),
        ([("1/day", "k"), ("2/day", "k")], "no two that count in one bucket: give one a name"),
    ],
)
def test_hits_that_make_no_sense_are_refused(colour: Colour, layer: Layer, hits: Any, why: str) -> None:
    """The message shows what `hit_all` takes."""
    refused(colour, layer, "hit_all", (hits,), {}, why)


@pytest.mark.parametrize("decision", [None, True, ("1/day", "k"), "decision"])
def test_settle_takes_a_decision(colour: Colour, layer: Layer, decision: Any) -> None:
    """And the true cost, a whole number of units."""
    refused(colour, layer, "settle", (decision, 1), {}, "settle takes the decision that a hit returned, not ")


@pytest.mark.parametrize("actual", [-1, 1.5, None, True])
def test_settle_takes_the_true_cost(colour: Colour, layer: Layer, actual: Any) -> None:
    """A whole number of units, also for a hit that was not charged."""
    decision = layer.limiter.hit("1/day", "k")
    for each in (decision, layer.limiter.hit("1/day", "k")):
        why = f"actual={actual!r} must be a whole number of units"
        refused(colour, layer, "settle", (each, actual), {}, why)


@pytest.mark.parametrize(
    ("args", "options", "why"),
    [
        ((0, "k"), {}, "limit=0 must be a whole number of slots, 1 or more"),
        ((-1, "k"), {}, "limit=-1 must be a whole number"),
        ((1.5, "k"), {}, "limit=1.5 must be a whole number"),
        (("2/day", "k"), {}, "limit='2/day' must be a whole number"),
        ((2, ""), {}, "key is empty: give a name"),
        ((2, None), {}, "key must be text, not NoneType"),
        ((2, "k"), {"lease": 0}, "lease=0 must be more than zero"),
        ((2, "k"), {"lease": None}, "lease=None is not a duration"),
        *[((2, "k"), {name: value}, why) for name, value, why in COMMON if name in {"budget", "on_failure", "shadow"}],
    ],
)
def test_a_concurrency_limit_that_cannot_work_is_refused(
    layer: Layer, args: tuple[Any, ...], options: dict[str, Any], why: str
) -> None:
    """When it is made, not when it is entered."""
    with pytest.raises(ConfigurationError, match=re.escape(why)):
        layer.limiter.concurrency(*args, **options)


@pytest.mark.parametrize("replicas", [-1, 1.5, None, "2", True])
def test_replicas_are_a_whole_number(replicas: Any) -> None:
    """The layer says so when it is made."""
    with pytest.raises(ConfigurationError, match="replicas="):
        Layer(replicas=replicas)
