"""The options of `RateLimitMiddleware` and `LimitRule`: what cannot work is said when constructing."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer, Quota
from holdfast.asgi import RateLimitMiddleware as AsgiLimits
from holdfast.errors import ConfigurationError
from holdfast.web import LimitRule
from holdfast.web.limit_options import EdgePlan
from holdfast.wsgi import RateLimitMiddleware as WsgiLimits


def plan(**options: Any) -> EdgePlan:
    """Return what a middleware with these options limits."""
    return EdgePlan(options, finds_routes=True)  # type: ignore[arg-type]


async def coroutine_function(*_: Any) -> None:
    """Be async."""


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "limits nothing: give a quota"),
    ({"quota": "lots"}, "quota 'lots'"),
    ({"quota": "1/minute", "limit": 3}, "has no option 'limit'"),
    ({"rules": ["1/minute"]}, "must be several LimitRule"),
    ({"rules": "1/minute"}, "must be several LimitRule"),
    ({"quota": "1/minute", "trusted": ["0.0.0.0/0"]}, "trust everybody"),
    ({"quota": "1/minute", "trusted": ["10.0.0.0/8"], "hops": 1}, "trusted or hops"),
    ({"quota": "1/minute", "hops": -1}, "hops=-1"),
    ({"quota": "1/minute", "ipv6_prefix": 8}, "ipv6_prefix=8"),
    ({"quota": "1/minute", "header": ""}, "header=''"),
    ({"quota": "1/minute", "route": "/x"}, "route= must be a function, not str"),
    ({"quota": "1/minute", "exempt": "/x"}, "exempt='/x' must be several texts"),
    ({"quota": "1/minute", "exempt": ["x"]}, "must be paths, such as"),
    ({"quota": "1/minute", "cost": -1}, "cost=-1"),
    ({"quota": "1/minute", "cost": True}, "cost=True"),
    ({"quota": "1/minute", "settle": 3}, "settle= must be a function"),
    ({"quota": "1/minute", "on_refused": 3}, "on_refused= must be a function"),
    ({"quota": "1/minute", "dialect": "loud"}, "dialect='loud' is not known"),
    ({"quota": "1/minute", "unknown": None}, "unknown=None must be 'refuse'"),
    ({"quota": "1/minute", "on_failure": "maybe"}, "on_failure='maybe'"),
    ({"quota": "1/minute", "budget": "soon"}, "budget"),
    ({"quota": "1/minute", "shadow": "yes"}, "shadow='yes'"),
    ({"messages": "often"}, "quota 'often'"),
    ({"messages": "1/second", "shadow": "yes"}, "shadow='yes'"),
    ({"exempt": ["/up"], "rules": [LimitRule("1/hour", paths=["/up/a"], name="up")]}, "LimitRule 'up' limits nothing"),
    ({"rules": [LimitRule("1/hour", paths=["/up"], exempt=["/up"])]}, "LimitRule number 1, which has no name, limits"),
]


@pytest.mark.parametrize(("options", "said"), BAD, ids=[said for _, said in BAD])
def test_an_option_that_cannot_work_is_refused(options: dict[str, Any], said: str) -> None:
    """By both middlewares, and the message names it."""
    for kind in (AsgiLimits, WsgiLimits):
        with pytest.raises(ConfigurationError) as caught:
            kind(lambda *_: None, **options)  # type: ignore[arg-type]
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "LimitRule limits nothing"),
        ({"quota": "1/minute", "name": "My rule"}, "name='My rule' must be lower-case"),
        ({"quota": "1/minute", "paths": "/x"}, "paths='/x' must be several texts"),
        ({"quota": "1/minute", "paths": ["x"]}, "must be paths"),
        ({"quota": "1/minute", "methods": ["post"]}, "methods in upper case"),
        ({"quota": "1/minute", "methods": "POST"}, "methods='POST' must be several texts"),
        ({"quota": "1/minute", "routes": [None]}, "routes=[None] must be several texts"),
        ({"quota": "1/minute", "by": "user"}, "by='user' must be 'client'"),
        ({"quota": "1/minute", "by": "header:"}, "by='header:' must be"),
        ({"quota": "1/minute", "by": 3}, "by=3 must be"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(options: dict[str, Any], said: str) -> None:
    """As soon as it is written."""
    with pytest.raises(ConfigurationError) as caught:
        LimitRule(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quota": "no"}, "quota 'no'"),
        ({"concurrency": 0}, "concurrency=0 must be a whole number of requests"),
        ({"concurrency": True}, "concurrency=True"),
        ({"concurrency": 1, "lease": 0}, "lease"),
        ({"concurrency": 1, "on_failure": "x"}, "on_failure='x'"),
        ({"concurrency": 1, "unknown": "x"}, "unknown='x'"),
        ({"concurrency": 1, "exempt": 4}, "exempt=4"),
    ],
)
def test_all_that_a_rule_says_is_checked_where_it_is_written(options: dict[str, Any], said: str) -> None:
    """Not by the middleware that gets it, whose traceback would point elsewhere."""
    with pytest.raises(ConfigurationError) as caught:
        LimitRule(**options)
    assert said in str(caught.value)


def test_a_rule_keeps_what_can_be_read_only_once() -> None:
    """An iterator that was read to check it would leave a rule about everything."""
    given: Any = {"paths": ["/a"], "methods": ["PUT"], "routes": ["/a"], "exempt": ["/a/b"]}
    rule = LimitRule("1/minute", **{name: iter(texts) for name, texts in given.items()})
    assert (rule.paths, rule.methods, rule.routes, rule.exempt) == (("/a",), ("PUT",), ("/a",), ("/a/b",))
    assert rule == LimitRule("1/minute", **given)


def test_a_rule_for_get_is_about_head() -> None:
    """Apps answer it with the same function; other methods stay as they are."""
    get, post = plan(rules=[LimitRule("1/minute", methods=["GET"]), LimitRule("1/minute", methods=["POST"])]).rules
    assert (get.methods, post.methods) == ({"GET", "HEAD"}, {"POST"})


def test_two_rules_of_one_name_are_refused() -> None:
    """They would count in one bucket."""
    with pytest.raises(ConfigurationError, match="two rules are called 'a'"):
        plan(rules=[LimitRule("1/minute", name="a"), LimitRule("2/minute", name="a")])


@pytest.mark.parametrize("options", [{"routes": ["/x"]}, {"per_route": True}, {"by": "route"}])
def test_in_wsgi_routes_need_somebody_who_knows_them(options: dict[str, Any]) -> None:
    """No framework is asked there."""
    rules = [LimitRule("1/minute", **options)]
    with pytest.raises(ConfigurationError, match="need route="):
        WsgiLimits(lambda *_: [], rules=rules)
    WsgiLimits(lambda *_: [], rules=rules, route=lambda _: "/x")


@pytest.mark.parametrize("name", ["cost", "settle", "on_refused", "exempt", "route"])
def test_in_wsgi_nobody_awaits(name: str) -> None:
    """So an async function is refused when constructing; also those of a rule."""
    given: Any = {name: coroutine_function}
    with pytest.raises(ConfigurationError, match=f"{name}= is async"):
        WsgiLimits(lambda *_: [], quota="1/minute", **given)
    for rule in (LimitRule("1/minute", by=coroutine_function), LimitRule("1/minute", exempt=coroutine_function)):
        with pytest.raises(ConfigurationError, match="is async"):
            WsgiLimits(lambda *_: [], rules=[rule])
    rules = [LimitRule("1/minute"), LimitRule("1/minute", by=coroutine_function)]
    with pytest.raises(ConfigurationError, match="by= of LimitRule number 2, which has no name, is async"):
        WsgiLimits(lambda *_: [], quota="1/hour", rules=rules)
    with pytest.raises(ConfigurationError, match="by= of LimitRule 'who' is async"):
        WsgiLimits(lambda *_: [], rules=[LimitRule("1/minute", by=coroutine_function, name="who")])
    with pytest.raises(ConfigurationError, match="messages= is for websockets"):
        WsgiLimits(lambda *_: [], messages="1/minute")


def test_a_layer_is_a_layer() -> None:
    """A URL is none."""
    with pytest.raises(ConfigurationError, match="layer= must be a Layer"):
        AsgiLimits(lambda *_: None, layer="redis://x", quota="1/minute")  # type: ignore[arg-type]
    AsgiLimits(lambda *_: None, layer=Layer(), quota="1/minute")  # type: ignore[arg-type,return-value]


def test_labels_last_and_are_unlike() -> None:
    """A rule keeps its buckets when its limit changes or others are added, and shares them with none."""

    def labels(*rules: LimitRule) -> list[str]:
        return [rule.label for rule in plan(rules=rules).rules]

    pay = LimitRule("1/minute", paths=["/pay"])
    alone, again = labels(pay), labels(LimitRule("9/hour", paths=["/pay"], concurrency=4))
    assert alone == again
    assert labels(LimitRule("1/minute"), LimitRule("1/minute", name="pay"), pay) == ["_every", "pay", *alone]
    others = [
        LimitRule("1/minute", by=None),
        LimitRule("1/minute", by="header:x"),
        LimitRule("1/minute", by=labels),
        LimitRule("1/minute", methods=["GET"]),
        LimitRule("1/minute", routes=["/pay"]),
        LimitRule("1/minute", per_route=True),
        pay,
        pay,
    ]
    assert len(set(labels(*others))) == len(others)
    assert labels(LimitRule("1/minute", paths=["/a", "/b"])) == labels(LimitRule("1/minute", paths=["/b", "/a"]))


def test_policies_are_called_like_their_rule() -> None:
    """Unless the user has given them a name."""

    def names(quota: Any, name: str | None) -> list[str]:
        (rule,) = plan(rules=[LimitRule(quota, name=name)]).rules
        return [quota.name for quota in rule.quotas]

    assert names("5/minute", None) == ["per-minute"]
    assert names("5/minute", "login") == ["login"]
    slots = [LimitRule(concurrency=1), LimitRule(concurrency=1, name="a"), LimitRule("1/day", concurrency=1, name="b")]
    assert [rule.slots for rule in plan(rules=slots).rules] == ["concurrency", "a", "b-concurrency"]
    assert names("5/minute, 9/hour", "login") == ["login-per-minute", "login-per-hour"]
    assert names([Quota(5, "1m", name="own"), "9/hour"], "login") == ["own", "login-per-hour"]


def test_a_rule_may_say_what_the_middleware_says_otherwise() -> None:
    """About failures, the budget, shadow and the unknown."""
    own = LimitRule("1/minute", on_failure="closed", budget=2, shadow=False, unknown="allow")
    theirs, other = plan(quota="1/hour", rules=[own], on_failure="local", budget=1, shadow=True, unknown="share").rules
    said = [(each.rule.on_failure, each.rule.budget, each.rule.shadow, each.unknown) for each in (theirs, other)]
    assert said == [("local", 1, True, "share"), ("closed", 2, False, "allow")]
