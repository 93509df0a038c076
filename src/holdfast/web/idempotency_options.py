"""The options of an idempotency middleware, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypedDict

from holdfast._calls import is_async
from holdfast._durations import seconds
from holdfast.errors import ConfigurationError
from holdfast.options import refuse_unknown
from holdfast.policy.http.fields import is_token
from holdfast.policy.http.rules import MIB
from holdfast.policy.keys import check_namespace
from holdfast.typing import Duration
from holdfast.web.paths import Paths
from holdfast.web.requests import WebRequest

Identity: TypeAlias = Callable[[WebRequest], Any]
"""From a request to text that says whose it is, or None; under ASGI it may be async."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"})
_MOST_LEASE: Final = 24 * 3600.0


class IdempotencyOptions(TypedDict, total=False):
    """The options of `IdempotencyMiddleware`, which explains each."""

    methods: Iterable[str]
    header: str
    required: bool | Iterable[str]
    exempt: Iterable[str]
    ttl: Duration
    lease: Duration
    wait: Duration
    identity: Identity | None
    max_body: int
    keep_errors: bool
    strict: bool
    on_failure: Literal["closed", "open"]
    namespace: str


@dataclass(frozen=True, slots=True)
class IdempotencyRules:
    """What a user said, checked."""

    methods: frozenset[str]
    header: str
    required: Paths | None
    """None: a key is required everywhere."""
    exempt: Paths
    ttl: float
    lease: float
    wait: float
    identity: Identity | None
    max_body: int
    keep_errors: bool
    strict: bool
    runs_without: bool
    """Whether the app answers while Redis cannot be asked."""
    namespace: str

    def requires(self, path: str) -> bool:
        """Say whether requests for a path need a key."""
        return self.required is None or self.required.may_be(path)


def checked_rules(options: Any, *, is_async_app: bool) -> IdempotencyRules:
    """Return what a user said, or raise.

    Args:
        options: as given.
        is_async_app: whether an async `identity` can be awaited.

    Raises:
        ConfigurationError: an option cannot work; the message names it.
    """
    refuse_unknown("IdempotencyMiddleware", options, IdempotencyOptions.__optional_keys__, beside=["layer"])
    required, failure = options.get("required", ()), options.get("on_failure", "closed")
    if failure not in ("closed", "open"):
        msg = f"on_failure={failure!r} must be 'closed' (503) or 'open' (go on without knowing what was done before)"
        raise ConfigurationError(msg)
    nowhere: tuple[str, ...] = ()
    return IdempotencyRules(
        methods=_methods(options.get("methods", ("POST", "PATCH"))),
        header=_header(options.get("header", "Idempotency-Key")),
        required=None if required is True else Paths.of(nowhere if required is False else required, "required"),
        exempt=Paths.of(options.get("exempt", ()), "exempt"),
        ttl=seconds(options.get("ttl", "24h"), "ttl"),
        lease=_lease(options.get("lease", "30s")),
        wait=seconds(options.get("wait", 0), "wait", zero=True),
        identity=_identity(options.get("identity"), is_async_app=is_async_app),
        max_body=_max_body(options.get("max_body", MIB)),
        keep_errors=bool(options.get("keep_errors", False)),
        strict=bool(options.get("strict", False)),
        runs_without=failure == "open",
        namespace=check_namespace(options.get("namespace", "")),
    )


def _methods(given: Any) -> frozenset[str]:
    # Callers are often untyped.
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    texts: tuple[Any, ...] = tuple(given) if several else (None,)  # pyright: ignore[reportUnknownArgumentType]
    for text in texts:
        if not isinstance(text, str) or not is_token(text) or text != text.upper() or text in _SAFE:
            msg = (
                f"methods={given!r} must be methods that change something, in upper case, such as ('POST', 'PATCH'): "
                "the others may be sent again anyway"
            )
            raise ConfigurationError(msg)
    return frozenset(str(text) for text in texts)


def _header(given: Any) -> str:
    if not isinstance(given, str) or not is_token(given):
        msg = f"header={given!r} must be the name of a field, such as 'Idempotency-Key'"
        raise ConfigurationError(msg)
    return given


def _lease(given: Any) -> float:
    lease = seconds(given, "lease")
    if lease > _MOST_LEASE:
        msg = f"lease={given!r} is longer than a day: it is renewed as long as the app works, so 30 s will do"
        raise ConfigurationError(msg)
    return lease


def _identity(given: Any, *, is_async_app: bool) -> Identity | None:
    if given is None:
        return None
    if not callable(given):
        msg = f"identity= must be a function of a WebRequest that returns text or None, not {type(given).__name__}"
        raise ConfigurationError(msg)
    if not is_async_app and is_async(given):
        raise ConfigurationError("identity= is async, and the app is not: nobody would await it")
    identity: Identity = given
    return identity


def _max_body(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        msg = f"max_body={given!r} must be a number of bytes, such as 1024 * 1024"
        raise ConfigurationError(msg)
    return given
