"""What a layer is made of, put together in one place: the backend, the registries, the cache, the counters.

The verbs that users call (`cache.py`, `cached.py`) and the layer itself are thin over this.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from holdfast import _forks
from holdfast._denials import Denials
from holdfast._durations import seconds
from holdfast._local_limits import LocalLimits
from holdfast._local_slots import LocalSlots
from holdfast._near import Near
from holdfast._turns import Turns
from holdfast.backend.backend import Backend
from holdfast.codec import Codec, parse_secrets
from holdfast.core.batch_caching import BatchCaching
from holdfast.core.booking import Booking
from holdfast.core.caching import Caching
from holdfast.core.idempotency import Idempotency
from holdfast.core.limiting import Limiting
from holdfast.core.lock_claims import Claim
from holdfast.core.lock_waiting import Locks
from holdfast.core.plan import Derivation, Plan
from holdfast.core.records import Recorder
from holdfast.core.sessions import SessionKeeping
from holdfast.core.slots import Slots
from holdfast.errors import ConfigurationError
from holdfast.keybuilders import KeyBuilders
from holdfast.lock_terms import Terms
from holdfast.options import OnFailure, Options, check_names
from holdfast.policy.keys import check_namespace
from holdfast.policy.names import Names
from holdfast.port import Cancel
from holdfast.serializers import Serializers
from holdfast.typing import Duration, Hook


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
        near: Duration | None,
        near_entries: int,
        near_bytes: int,
        on_failure: OnFailure,
        hooks: Iterable[Hook],
        replicas: int,
        connection: Mapping[str, Any],
    ) -> None:
        if on_failure not in ("bypass", "raise"):  # in a set, what has no hash would raise an error of its own
            msg = f"on_failure={on_failure!r} must be 'bypass' (go on without Redis) or 'raise'"
            raise ConfigurationError(msg)
        check_names(serializer=serializer, key_builder=key_builder)
        check_names(optional=True, compression=compression)
        _check_connection(connection)
        self.namespace = check_namespace(namespace)
        self.secrets = parse_secrets(secret)
        self.serializers = Serializers()
        self.key_builders = KeyBuilders()
        self.serializer = serializer
        self.compression = compression
        self.key_builder = key_builder
        self.recorder = Recorder(hooks)
        self.near = 0.0 if near is None else seconds(near, "near", zero=True)
        names = Names(self.namespace)
        kept_near = Near(_count(near_entries, "near_entries"), _count(near_bytes, "near_bytes"))
        self.caching = Caching(names, self.recorder, kept_near, bypass=on_failure == "bypass")
        self.batching = BatchCaching(self.caching)
        self.replicas = _count(replicas, "replicas", least=1)
        self.limiting = Limiting(self.recorder, Denials(), LocalLimits(self.replicas))
        self.booking = Booking(self.limiting)
        self.slots = Slots(self.recorder, LocalSlots(self.replicas))
        self.turns = Turns()
        self._unwatch: Cancel | None = None
        self._watch_lock = threading.Lock()
        self.backend = Backend(url, self.recorder.emit, **connection)
        self.blocking = self.backend.blocking
        self.asyncio = self.backend.asyncio
        self.locks = self.keeper = Locks(self.recorder, names, self.blocking)
        self.idempotency = Idempotency(self.recorder, names, self.blocking)
        self.sessions = SessionKeeping(names, self.recorder)
        self.claims: dict[tuple[str, Terms], Claim] = {}
        """Plain locks, by their names as given and their terms."""
        self.off: ContextVar[bool] = ContextVar("holdfast_disabled", default=False)
        """Whether calls go straight to their functions, in the current context."""
        if self.serializers.find(serializer) is not None:  # one of the user's own can only be registered after this
            self.codec(None, None, Any)  # a missing secret or compressor shows now
        self.prefix = names.entries
        _forks.watch(self)

    def codec(self, serializer: str | None, compression: str | None, kind: Any, *, nothing: bool = False) -> Codec:
        """Return what turns values of a kind into entries and back."""
        return Codec(
            self.serializers,
            serializer or self.serializer,
            kind,
            compression=compression or self.compression,
            secrets=self.secrets,
            nothing=nothing,
        )

    def plan(self, options: Options, pattern: str, kind: Any, *, derives: bool = False) -> Plan:
        """Return how the entries of one function are kept in this layer.

        Args:
            options: what the user said.
            pattern: under which the calls are counted.
            kind: the type to decode to.
            derives: whether the function seems to give tags to its entries.
        """
        near = self.near if options.near is None else options.near
        if near and options.keeps:
            self._watch()
        return Plan(
            self.codec(options.serializer, options.compression, kind, nothing=options.many),
            options.lifetime,
            self.recorder.tally(pattern),
            keeps=options.keeps,
            leeway=options.leeway,
            beta=options.beta,
            lease=options.lease,
            wait=options.wait,
            on_wait_timeout=options.on_wait_timeout,
            soft_timeout=options.soft_timeout,
            hard_timeout=options.hard_timeout,
            near=near if options.keeps else 0.0,
            condition=options.condition,
            errors=options.errors,
            tags_of=options.tags_of,
            derivation=Derivation(derives or options.tags_of is not None),
            missing=options.missing,
        )

    def _watch(self) -> None:
        """Listen to what happens to entries, from the first time that some are to be kept in this process."""
        if self._unwatch is not None:
            return
        with self._watch_lock:
            if self._unwatch is None:
                names = self.caching.names
                self._unwatch = self.backend.watch(names.patterns, names.tracked, self.caching.nearby)

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
        self.caching.nearby.near.after_fork()
        self.limiting.denials.after_fork()
        self.limiting.local.after_fork()
        self.slots.after_fork()
        self.locks.after_fork()
        self.idempotency.after_fork()
        self.turns.after_fork()
        self._watch_lock = threading.Lock()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
            self._watch()  # the backend, which was told before, connects anew


def _check_connection(given: object) -> None:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):  # pyright: ignore[reportUnknownVariableType] - checked here
        msg = (
            f"connection= must be a mapping of keyword arguments for redis-py's connection classes, such as "
            f"{{'credential_provider': ...}}, not {type(given).__name__}"  # pyright: ignore[reportUnknownArgumentType] - any type
        )
        raise ConfigurationError(msg)


def _count(value: int, name: str, least: int = 0) -> int:
    # Callers are often untyped.
    if isinstance(value, bool) or not isinstance(value, int) or value < least:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"{name}={value!r} must be a whole number, {least} or more"
        raise ConfigurationError(msg)
    return value
