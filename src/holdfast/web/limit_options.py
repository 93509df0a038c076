"""The options of the limits at the edge, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from holdfast.core.limit_checks import OnLimitFailure
from holdfast.errors import ConfigurationError
from holdfast.limit_rules import checked_cost, checked_rule
from holdfast.options import refuse_unknown
from holdfast.policy.decision import LimitDecision
from holdfast.policy.limit_fields import DIALECTS, Dialect
from holdfast.policy.quota import Quota, Quotas, quotas_of
from holdfast.typing import Duration
from holdfast.web.addresses import Trusted
from holdfast.web.limit_clients import Clients
from holdfast.web.limit_exemption import Exemption
from holdfast.web.limit_matching import EdgeRule, compile_rules
from holdfast.web.limit_rule import Exempt, LimitRule, Unknown
from holdfast.web.limit_writing import FieldWriter
from holdfast.web.requests import FindRoute, WebRequest


class RateLimitOptions(TypedDict, total=False):
    """The options of `RateLimitMiddleware`, which explains each."""

    quota: Quotas | None
    rules: Iterable[LimitRule]
    trusted: Trusted
    hops: int | None
    ipv6_prefix: int
    header: str | None
    route: FindRoute | None
    exempt: Exempt
    cost: int | Callable[[WebRequest], Any]
    settle: Callable[..., Any] | None
    dialect: Dialect
    unknown: Unknown
    on_failure: OnLimitFailure
    budget: Duration
    shadow: bool
    messages: Quotas | None
    on_refused: Callable[[WebRequest, LimitDecision], Any] | None


class EdgePlan:
    """What one middleware limits.

    Args:
        options: as the user gave them.
        finds_routes: whether the middleware can tell the route of a request by itself.

    Raises:
        ConfigurationError: an option cannot work; the message names it.
    """

    def __init__(self, options: RateLimitOptions, *, finds_routes: bool) -> None:
        refuse_unknown("RateLimitMiddleware", options, RateLimitOptions.__optional_keys__, beside=["layer"])
        cost = options.get("cost", 1)
        on_failure, budget = options.get("on_failure", "open"), options.get("budget", "100ms")
        self.shadow = checked_rule(on_failure, budget, options.get("shadow", False)).shadow
        self.rules = _rules(options)
        messages = options.get("messages")
        self.messages: tuple[Quota, ...] = () if messages is None else quotas_of(messages)
        if not self.rules and not self.messages:
            raise ConfigurationError("RateLimitMiddleware limits nothing: give a quota, such as '100/minute', or rules")
        self.clients = Clients(
            trusted=options.get("trusted", ()),
            hops=options.get("hops"),
            ipv6_prefix=options.get("ipv6_prefix", 64),
            header=options.get("header"),
        )
        self.route = _function(options, "route")
        self.needs_route = any(rule.needs_route for rule in self.rules)
        """Whether somebody has to tell the route of a request."""
        if self.route is None and not finds_routes and self.needs_route:
            msg = "routes=, per_route= and by='route' need route=: a function of the environ that returns a template"
            raise ConfigurationError(msg)
        self.exempt = Exemption.of(options.get("exempt", ()), "exempt")
        for rule in self.rules:
            _refuse_needless(rule, self.exempt)
        self.cost_of = cost if callable(cost) else None
        self.cost = 1 if callable(cost) else checked_cost(cost)
        self.settle = _function(options, "settle")
        self.on_refused = _function(options, "on_refused")
        self.solo = self._find_solo()
        """The rule, if there is one alone, about all requests of a client, which most apps have; else None."""
        self.dialect: Dialect = options.get("dialect", "draft-11")
        if self.dialect not in DIALECTS:
            msg = f"dialect={self.dialect!r} is not known: take one of {', '.join(DIALECTS)}"
            raise ConfigurationError(msg)
        self.writer = FieldWriter(self.dialect)

    def _find_solo(self) -> EdgeRule | None:
        if len(self.rules) != 1 or self.exempt or self.cost_of is not None:
            return None
        rule = self.rules[0]
        return rule if rule.is_plain and rule.quotas and rule.concurrency is None else None

    def refuse_messages(self) -> None:
        """Refuse the option that is for websockets only.

        Raises:
            ConfigurationError: it was given.
        """
        if self.messages:
            raise ConfigurationError("messages= is for websockets, which WSGI does not have: leave it out")

    @property
    def functions(self) -> dict[str, Any]:
        """The user's functions that look at requests and responses, by what messages call them."""
        own: dict[str, Any] = {
            "cost=": self.cost_of,
            "settle=": self.settle,
            "on_refused=": self.on_refused,
            "exempt=": self.exempt.function,
            "route=": self.route,
        }
        for rule in self.rules:
            own |= {f"by= of {rule.called}": rule.by, f"exempt= of {rule.called}": rule.exempt.function}
        return own


def _refuse_needless(rule: EdgeRule, exempt: Exemption) -> None:
    """Refuse a rule that is about nothing but what is exempt: whoever wrote it believes that it limits something."""
    for paths in (exempt.paths, rule.exempt.paths):
        if paths.cover(rule.paths):
            msg = (
                f"{rule.called} limits nothing: exempt={list(paths.given)!r} takes all of its paths from it. "
                f"Where it is to stand instead of quota=, give that as a LimitRule with this exempt="
            )
            raise ConfigurationError(msg)


def _rules(options: RateLimitOptions) -> tuple[EdgeRule, ...]:
    quota, given = options.get("quota"), options.get("rules", ())
    # Callers are often untyped.
    rules: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]  # pyright: ignore[reportUnnecessaryIsInstance]
    for rule in rules:
        if not isinstance(rule, LimitRule):
            msg = f"rules= must be several LimitRule, such as [LimitRule('5/minute', paths=['/login'])], not {rule!r}"
            raise ConfigurationError(msg)
    if quota is not None:
        rules.insert(0, LimitRule(quota))
    return compile_rules(
        rules,
        1 if quota is None else 0,
        on_failure=options.get("on_failure", "open"),
        budget=options.get("budget", "100ms"),
        shadow=options.get("shadow", False),
        unknown=options.get("unknown", "refuse"),
    )


def _function(options: Any, name: str) -> Any:
    given = options.get(name)
    if given is not None and not callable(given):
        msg = f"{name}= must be a function, not {type(given).__name__}"
        raise ConfigurationError(msg)
    return given
