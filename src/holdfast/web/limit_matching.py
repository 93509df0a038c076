"""Which rules a request matches, and whom it counts for under each: a rule as it was checked, for all requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from holdfast._calls import is_async
from holdfast._durations import seconds
from holdfast.call_names import value_of
from holdfast.core.limit_checks import Rule
from holdfast.errors import ConfigurationError
from holdfast.limit_rules import checked_rule
from holdfast.policy.quota import Quota, quotas_of
from holdfast.web.limit_clients import Clients, checked_unknown, credential_of
from holdfast.web.limit_exemption import Exemption
from holdfast.web.limit_rule import By, LimitRule, header_of
from holdfast.web.paths import Paths
from holdfast.web.requests import WebRequest

_EVERYBODY: Final = "all"
_SLOTS: Final = "concurrency"
_UNROUTED: Final = "-"
"""Stands for the template of what no route answers: all of it is counted together, never by its path."""


class UnknownClient(Exception):  # noqa: N818 - what happened; it never reaches a user
    """A rule counts by something that this request does not have; its text says what."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a request counts for under one rule."""

    slot: str
    """What names the slot of a cluster: rules about the same client share it, so that one script sees their buckets."""
    name: str
    """What names the bucket in it."""


@dataclass(frozen=True, slots=True)
class EdgeRule:
    """A `LimitRule`, checked, with what the middleware says where the rule says nothing."""

    label: str
    """What its buckets are called: no other rule of the middleware has the same."""
    called: str
    """What messages call it."""
    quotas: tuple[Quota, ...]
    paths: Paths
    methods: frozenset[str]
    routes: frozenset[str]
    by: By
    header: str
    per_route: bool
    concurrency: int | None
    slots: str
    """What the policy of its slots is called."""
    lease: float
    rule: Rule
    exempt: Exemption
    unknown: str

    @property
    def is_plain(self) -> bool:
        """Whether it is about every request, and counts by nothing but the client."""
        return self.by == "client" and not (self.paths or self.methods or self.routes or self.per_route or self.exempt)

    @property
    def needs_route(self) -> bool:
        """Whether somebody has to tell it the route of a request."""
        return self.per_route or bool(self.routes) or self.by == "route"

    async def find_who(self, request: WebRequest, clients: Clients) -> Who | None:
        """Return whom a request counts for; None if the rule is not about it.

        Raises:
            UnknownClient: nobody can tell, and the rule refuses such requests.
        """
        if self.methods and request.method not in self.methods:
            return None
        if self.paths and not self.paths.may_be(request.path):
            return None
        if self.routes and request.route not in self.routes:
            return None
        if self.exempt and await self.exempt.holds(request):
            return None
        slot = await self._find_slot(request, clients)
        if slot is None:
            return None
        return Who(slot, f"{self.label}:{request.route or _UNROUTED}" if self.per_route else self.label)

    async def _find_slot(self, request: WebRequest, clients: Clients) -> str | None:
        if self.by == "client":
            found = clients.identity(request.peer, request.pairs)
            if found is not None:
                return f"client:{found}"
            return self._slot_of_nobody("client", lambda: clients.explain(request.peer, request.pairs()))
        if self.by is None:
            return f"{_EVERYBODY}:{self.label}"
        if self.by == "route":
            return f"route:{request.route or _UNROUTED}"
        if self.header:
            return self._slot_by_field(request)
        return await self._ask_user(request)

    def _slot_by_field(self, request: WebRequest) -> str | None:
        """Return whom a field names: nobody if it has several lines, since apps read one of them, or all of them."""
        lines = request.lines(self.header)
        is_one = len(lines) == 1 or self.header.lower() == "cookie"  # which HTTP/2 may send in pieces
        value = credential_of(self.header, request.get(self.header) or "") if is_one else ""
        if value:
            return f"header:{self.header}:{_digest(value)}"
        wrong = "stands in several lines" if len(lines) > 1 else "is not there"
        return self._slot_of_nobody(
            self.header, lambda: f"{self.called} counts by the field {self.header}, which {wrong} (see unknown=)"
        )

    async def _ask_user(self, request: WebRequest) -> str | None:
        found: Any = None if not callable(self.by) else await value_of(self.by(request))
        if found is None:
            return None
        if not isinstance(found, str) or not found:
            msg = f"by= must return text that is not empty, or None, and returned {type(found).__name__}"
            raise ConfigurationError(msg)
        return f"by:{found}"

    def _slot_of_nobody(self, kind: str, explain: Callable[[], str]) -> str | None:
        if self.unknown == "refuse":
            raise UnknownClient(explain())
        return f"nobody:{kind}" if self.unknown == "share" else None


def compile_rules(rules: list[LimitRule], first: int = 1, **of_middleware: Any) -> tuple[EdgeRule, ...]:
    """Return rules as requests are compared with them, each with a label of its own.

    Args:
        rules: as the user gave them.
        first: the number of the first for messages; 0 is the middleware's quota.
        of_middleware: `on_failure`, `budget`, `shadow` and `unknown`, for rules that say nothing.

    Raises:
        ConfigurationError: an option cannot work, or two rules have one name.
    """
    labels: list[str] = []
    for rule in rules:
        if rule.name is not None and rule.name in labels:
            msg = f"two rules are called {rule.name!r}, and would count in one bucket: give one another name"
            raise ConfigurationError(msg)
        label, number = rule.name or _label_of(rule), 2
        while label in labels:
            label, number = f"{_label_of(rule)}-{number}", number + 1
        labels.append(label)
    return tuple(
        _compile(rule, label, _called(rule, number), of_middleware)
        for number, (rule, label) in enumerate(zip(rules, labels, strict=True), first)
    )


def _called(rule: LimitRule, number: int) -> str:
    if number == 0:
        return "quota="
    return f"LimitRule {rule.name!r}" if rule.name is not None else f"LimitRule number {number}, which has no name,"


def _compile(rule: LimitRule, label: str, called: str, of_middleware: dict[str, Any]) -> EdgeRule:
    own = {name: getattr(rule, name) for name in of_middleware if getattr(rule, name) is not None}
    said = of_middleware | own
    return EdgeRule(
        label=label,
        called=called,
        quotas=() if rule.quota is None else _named(quotas_of(rule.quota), rule.name),
        paths=Paths.of(rule.paths, "paths"),
        methods=frozenset([*rule.methods, *(["HEAD"] if "GET" in rule.methods else [])]),
        routes=frozenset(rule.routes),
        by=rule.by,
        header=header_of(rule.by),
        per_route=bool(rule.per_route),
        concurrency=rule.concurrency,
        slots=_name_of_slots(rule),
        lease=seconds(rule.lease, "lease"),
        rule=checked_rule(said["on_failure"], said["budget"], said["shadow"]),
        exempt=Exemption.of(rule.exempt, "exempt"),
        unknown=checked_unknown(said["unknown"]),
    )


def _named(quotas: tuple[Quota, ...], name: str | None) -> tuple[Quota, ...]:
    """Return quotas by the name of their rule, unless the user has named them."""
    if name is None:
        return quotas
    alone = len(quotas) == 1
    return tuple(
        quota.named(name if alone else f"{name[:40]}-{quota.name[:39]}") if _is_unnamed(quota) else quota
        for quota in quotas
    )


def _name_of_slots(rule: LimitRule) -> str:
    """Return the rule's name, so that the slots of several rules can be told apart; with more if its quota has that."""
    if rule.name is None:
        return _SLOTS
    return rule.name if rule.quota is None else f"{rule.name[:68]}-{_SLOTS}"


def _is_unnamed(quota: Quota) -> bool:
    return quota.name == Quota(quota.limit, quota.per, burst=quota.burst, algorithm=quota.algorithm).name


def _label_of(rule: LimitRule) -> str:
    """Return a label that stays the same from one start of the program to the next, and whatever the rule's limit.

    No rule's name begins with an underscore, so that none is taken for this one.
    """
    by = rule.by if isinstance(rule.by, str | None) else _name_of(rule.by)
    about = by, sorted(rule.paths), sorted(rule.methods), sorted(rule.routes), bool(rule.per_route)
    if about == ("client", [], [], [], False):
        return "_every"
    return f"_{_digest(repr(about))[:10]}"


def _name_of(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _digest(text: str) -> str:
    """Return what stands for a text that must not be read in a key."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def refuse_async(**functions: Any) -> None:
    """Refuse functions that nobody would await.

    Args:
        functions: by what messages call them; what else is among them is let be.

    Raises:
        ConfigurationError: one is async; the message names it.
    """
    for name, function in functions.items():
        if callable(function) and is_async(function):
            msg = f"{name} is async, and a WSGI app has no loop to await it in: give a plain function"
            raise ConfigurationError(msg)
