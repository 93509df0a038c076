"""One rule of the limits at the edge, as users write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, Literal, TypeAlias

from holdfast.core.limit_checks import OnLimitFailure
from holdfast.errors import ConfigurationError
from holdfast.policy.http.fields import is_token
from holdfast.policy.quota import Quotas
from holdfast.typing import Duration
from holdfast.web.paths import Paths, texts_of
from holdfast.web.requests import WebRequest

By: TypeAlias = str | Callable[[WebRequest], Any] | None
"""Whom a rule counts for: ``"client"``, ``"route"``, ``"header:x-api-key"``, a function of the request, or None."""
Exempt: TypeAlias = Iterable[str] | Callable[[WebRequest], Any]
Unknown: TypeAlias = Literal["refuse", "share", "allow"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,79}")
_HEADER: Final = "header:"


@dataclass(frozen=True, slots=True)
class LimitRule:
    """What some requests may do: how often, or how many of them at a time.

    A request has to be admitted by every rule that it matches; if one refuses it, none counts it. Each rule counts for
    itself, also where two are about the same client.

    Args:
        quota: such as ``"100/minute"``, or several; None where there is only `concurrency`.
        paths: those that it is about, each with all below it, or patterns with ``*``; all, unless given.
        methods: those that it is about, such as ``["POST"]``; all, unless given.
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
        Paths.of(self.paths, "paths")
        for method in texts_of(self.methods, "methods", "['POST']"):
            if not is_token(method) or method != method.upper():
                msg = f"methods={self.methods!r} must be methods in upper case, such as ['POST']"
                raise ConfigurationError(msg)
        texts_of(self.routes, "routes", "['/items/{item_id}']")
        _check_by(self.by)


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
