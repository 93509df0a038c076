"""One rule of the limits at the edge, as users write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, Literal, TypeAlias

from holdfast._durations import seconds
from holdfast.core.limit_checks import OnLimitFailure
from holdfast.errors import ConfigurationError
from holdfast.limit_rules import checked_rule
from holdfast.policy.http.fields import is_token
from holdfast.policy.quota import Quotas, quotas_of
from holdfast.typing import Duration
from holdfast.web.limit_clients import checked_unknown
from holdfast.web.limit_exemption import Exemption
from holdfast.web.paths import Paths, texts_of
from holdfast.web.requests import WebRequest

By: TypeAlias = str | Callable[[WebRequest], Any] | None
"""Whom a rule counts for: ``"client"``, ``"route"``, ``"header:x-api-key"``, a function of the request, or None."""
Exempt: TypeAlias = Iterable[str] | Callable[[WebRequest], Any]
Unknown: TypeAlias = Literal["refuse", "share", "allow"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,79}")
_HEADER: Final = "header:"
_MOST_SLOTS: Final = 10**12


@dataclass(frozen=True, slots=True)
class LimitRule:
    """What some requests may do: how often, or how many of them at a time.

    A request has to be admitted by every rule that it matches; if one refuses it, none counts it. Each rule counts for
    itself, also where two are about the same client.

    Args:
        quota: such as ``"100/minute"``, or several; None where there is only `concurrency`.
        paths: those that it is about, or patterns with ``*``, each with all below it; all, unless given.
        methods: those that it is about, such as ``["POST"]``; all, unless given. GET is HEAD, too, which apps answer
            with the same function.
        routes: templates, such as ``["/items/{item_id}"]``, of the routes that it is about; all, unless given.
        by: whom it counts for: ``"client"`` is the address, ``"header:x-api-key"`` the value of a field, ``"route"``
            the template, None all together; or a function of a `WebRequest` that returns text, or None for a request
            that the rule is not about.
        concurrency: how many requests may be served at the same time.
        lease: after which time the place of a process that died is free again.
        per_route: whether each route is counted apart.
        name: what the policy is called, in fields and in keys. Without one the period names it, and a rule whose paths,
            methods, routes or `by` change counts anew.
        on_failure: instead of the middleware's.
        budget: instead of the middleware's.
        shadow: instead of the middleware's.
        exempt: paths, or a function of a `WebRequest` that returns whether the rule is not about it.
        unknown: instead of the middleware's.

    Raises:
        ConfigurationError: one of them cannot work; the message says what would.

    Example:
        >>> from holdfast.web import LimitRule
        >>> LimitRule("5/minute", paths=["/login"], methods=["POST"], name="login").name
        'login'
    """

    quota: Quotas | None = None
    _: KW_ONLY
    paths: Sequence[str] = ()
    methods: Sequence[str] = ()
    routes: Sequence[str] = ()
    by: By = "client"
    concurrency: int | None = None
    lease: Duration = 30
    per_route: bool = False
    name: str | None = None
    on_failure: OnLimitFailure | None = None
    budget: Duration | None = None
    shadow: bool | None = None
    exempt: Exempt | None = None
    unknown: Unknown | None = None

    def __post_init__(self) -> None:
        if self.quota is None and self.concurrency is None:
            raise ConfigurationError("LimitRule limits nothing: give a quota, such as '100/minute', or concurrency=10")
        if self.name is not None and not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"name={self.name!r} must be lower-case letters, digits, '-', '_' and '.', a letter first, 80 at most"
            raise ConfigurationError(msg)
        self._keep("paths", Paths.of(self.paths, "paths").given)
        self._keep("methods", texts_of(self.methods, "methods", "['POST']"))
        for method in self.methods:
            if not is_token(method) or method != method.upper():
                msg = f"methods={self.methods!r} must be methods in upper case, such as ['POST']"
                raise ConfigurationError(msg)
        self._keep("routes", texts_of(self.routes, "routes", "['/items/{item_id}']"))
        _check_by(self.by)
        exemption = Exemption.of(self.exempt, "exempt")
        self._keep("exempt", exemption.function or exemption.paths.given or None)
        self._check_limits()

    def _keep(self, name: str, value: Any) -> None:
        """Keep what was given as what cannot change any more, and can be read more than once."""
        object.__setattr__(self, name, value)

    def _check_limits(self) -> None:
        """Refuse what cannot work of how much is admitted, and of what becomes of the others."""
        if self.quota is not None:
            quotas_of(self.quota)
        if self.concurrency is not None:
            _check_slots(self.concurrency)
        seconds(self.lease, "lease")
        checked_rule(
            "open" if self.on_failure is None else self.on_failure,
            1 if self.budget is None else self.budget,
            False if self.shadow is None else self.shadow,
        )
        if self.unknown is not None:
            checked_unknown(self.unknown)


def _check_slots(concurrency: Any) -> None:
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= _MOST_SLOTS:
        msg = f"concurrency={concurrency!r} must be a whole number of requests, 1 or more"
        raise ConfigurationError(msg)


def _check_by(by: Any) -> None:
    if by is None or callable(by) or by in ("client", "route"):
        return
    if isinstance(by, str) and by.startswith(_HEADER) and is_token(by.removeprefix(_HEADER)):
        return
    msg = (
        f"by={by!r} must be 'client', 'route', 'header:' and the name of a field, a function of a WebRequest, "
        f"or None for all requests together"
    )
    raise ConfigurationError(msg)


def header_of(by: object) -> str:
    """Return the name of the field that a rule counts by; empty text if it counts by something else."""
    return by.removeprefix(_HEADER) if isinstance(by, str) and by.startswith(_HEADER) else ""
