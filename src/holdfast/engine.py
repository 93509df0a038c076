"""What a layer is made of, put together in one place: the backend, the registries, the cache, the counters.

The verbs that users call (`cache.py`, `cached.py`) and the layer itself are thin over this.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from holdfast import _forks
from holdfast._durations import seconds
from holdfast.backend.backend import Backend
from holdfast.codec import Codec, parse_secrets
from holdfast.core.caching import Caching
from holdfast.core.plan import Plan
from holdfast.core.records import Recorder
from holdfast.errors import ConfigurationError
from holdfast.keybuilders import KeyBuilders
from holdfast.policy.keys import check_namespace
from holdfast.policy.lifetime import Lifetime, TimeToLive
from holdfast.serializers import Serializers
from holdfast.typing import Duration, Hook

OnFailure: TypeAlias = Literal["bypass", "raise"]
KeyOption: TypeAlias = str | Callable[..., str] | None
"""A template, a function of the call's arguments, or nothing."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user said about the entries of one function, checked."""

    lifetime: Lifetime
    wait: float
    condition: Callable[[Any], bool] | None
    errors: tuple[type[Exception], ...]
    serializer: str | None
    compression: str | None
    key: KeyOption
    key_builder: str | None
    version: str

    @classmethod
    def of(
        cls,
        ttl: TimeToLive,
        *,
        key: KeyOption = None,
        key_builder: str | None = None,
        version: str = "",
        serializer: str | None = None,
        compression: str | None = None,
        jitter: float = 0.0,
        condition: Callable[[Any], bool] | None = None,
        cache_errors: type[Exception] | tuple[type[Exception], ...] = (),
        wait: Duration = "30s",
    ) -> Options:
        """Check options as users type them.

        Raises:
            ConfigurationError: one of them cannot work; the message names it.
        """
        if key is not None and key_builder is not None:
            msg = f"key={key!r} and key_builder={key_builder!r} exclude each other: give one of them"
            raise ConfigurationError(msg)
        if condition is not None and not callable(condition):
            msg = "condition= must be a function of the result that says whether to store it"
            raise ConfigurationError(msg)
        if not isinstance(version, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"version must be text, not {type(version).__name__}: write version='2'"
            raise ConfigurationError(msg)
        lifetime = Lifetime.of(ttl, jitter)
        errors = _error_classes(cache_errors)
        return cls(
            lifetime,
            seconds(wait, "wait", zero=True),
            condition,
            errors,
            serializer,
            compression,
            key,
            key_builder,
            version,
        )


def _error_classes(given: type[Exception] | tuple[type[Exception], ...]) -> tuple[type[Exception], ...]:
    classes = given if isinstance(given, tuple) else (given,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, Exception)):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"cache_errors={each!r} must be exception classes, like cache_errors=(NotFound,)"
            raise ConfigurationError(msg)
    return classes


class Engine:
    """One Redis and everything that works over it."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str,
        serializer: str,
        compression: str | None,
        secret: Any,
        key_builder: str,
        on_failure: OnFailure,
        hooks: tuple[Hook, ...],
        connection: Mapping[str, Any],
    ) -> None:
        if on_failure not in {"bypass", "raise"}:
            msg = f"on_failure={on_failure!r} must be 'bypass' (go on without Redis) or 'raise'"
            raise ConfigurationError(msg)
        self.namespace = check_namespace(namespace)
        self.secrets = parse_secrets(secret)
        self.serializers = Serializers()
        self.key_builders = KeyBuilders()
        self.serializer = serializer
        self.compression = compression
        self.key_builder = key_builder
        self.recorder = Recorder(hooks)
        self.caching = Caching(self.recorder, bypass=on_failure == "bypass")
        self.backend = Backend(url, self.recorder.emit, **connection)
        self.blocking = self.backend.blocking
        self.asyncio = self.backend.asyncio
        self.off: ContextVar[bool] = ContextVar("holdfast_disabled", default=False)
        """Whether calls go straight to their functions, in the current context."""
        if self.serializers.find(serializer) is not None:  # one of the user's own can only be registered after this
            self.codec(None, None, Any)  # a missing secret or compressor shows now
        self.prefix = f"{self.namespace}:cache:{{" if self.namespace else "cache:{"
        _forks.watch(self)

    def codec(self, serializer: str | None, compression: str | None, kind: Any) -> Codec:
        """Return what turns values of a kind into entries and back."""
        return Codec(
            self.serializers,
            serializer or self.serializer,
            kind,
            compression=compression or self.compression,
            secrets=self.secrets,
        )

    def plan(self, options: Options, pattern: str, kind: Any) -> Plan:
        """Return how the entries of one function are kept in this layer."""
        return Plan(
            self.codec(options.serializer, options.compression, kind),
            options.lifetime,
            self.recorder.tally(pattern),
            options.wait,
            options.condition,
            options.errors,
        )

    @contextmanager
    def disabled(self) -> Generator[None]:
        """Let calls go straight to their functions, in this thread or task and the tasks that it starts."""
        before = self.off.set(True)
        try:
            yield
        finally:
            self.off.reset(before)

    def after_fork(self) -> None:
        """In a child process: forget loads that only the parent runs."""
        self.caching.flights.after_fork()
