"""One call of a function that is called once for each key: from its key to its result.

The function has run by the time that its result is to be stored. So nothing that goes wrong then is raised: the caller
gets the result, and later calls with its key hear that it was done.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from holdfast.codec import Codec
from holdfast.core.idempotency import Done, Errand, Found, Running
from holdfast.core.idempotency_renewing import Run
from holdfast.engine import Engine
from holdfast.errors import AlreadyRunning, BackendError, IdempotencyError, KeyReused, SerializationError
from holdfast.policy.frame import Unreadable
from holdfast.port import Port

_log = logging.getLogger("holdfast")


@dataclass(frozen=True, slots=True)
class IdempotentRun:
    """What is being done once."""

    key: str
    """The key that it was asked for with."""
    fencing_token: int | None
    """Greater than that of each earlier run for the same key, as long as the clock of Redis is not set back; None if
    Redis could not be asked, or the layer is disabled."""


_current: ContextVar[tuple[tuple[IdempotentRun, Run | None], ...]] = ContextVar("holdfast_idempotent", default=())
"""What runs around the current code, outermost first; without a run if Redis was not asked."""


def current_idempotency() -> IdempotentRun:
    """Return what the decorated function that runs around the caller does once.

    Raises:
        IdempotencyError: none does.

    Example:
        >>> from holdfast import Layer, current_idempotency, idempotent
        >>> @idempotent("order:{order_id}", layer=Layer("memory://current-idempotency-example"))
        ... def pay(order_id: int) -> str:
        ...     return current_idempotency().key
        >>> pay(7)
        'order:7'
    """
    running = _current.get()
    if not running:
        raise IdempotencyError("no function under @idempotent runs here")
    return running[-1][0]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a user said of one function, checked."""

    ttl: float
    lease: float
    wait: float
    serializer: str | None
    runs_without: bool
    """Whether the function is called while Redis cannot be asked."""


class IdempotentCall:
    """One call, from its key to its result."""

    def __init__(self, engine: Engine, port: Port, codec: Codec, errand: Errand, name: str, terms: Terms) -> None:
        self._engine = engine
        self._port = port
        self._codec = codec
        self._errand = errand
        self._name = name
        self._terms = terms
        self._run: Run | None = None
        self._began = port.now()
        self.is_done = False
        """Whether it was done before, with this `result`."""
        self.result: Any = None

    async def begin(self) -> None:
        """See whether it is to be done.

        Raises:
            AlreadyRunning: an earlier call still runs.
            KeyReused: the key stands for something else.
            IdempotencyError: it was done, and its result was not kept.
            BackendError: Redis could not be asked, and the function is not to be called then.
        """
        # A task that was started meanwhile has the context still when the run is over.
        if any(run is not None and run.key == self._errand.key and not run.is_over for _, run in _current.get()):
            raise AlreadyRunning(f"the call for the key {self._name!r} calls itself, and would wait for its own end")
        try:
            found = await self._engine.idempotency.begin(self._port, self._errand)
        except BackendError:
            if not self._terms.runs_without:
                raise
            return
        if isinstance(found, Run):
            self._run = found
        else:
            self.result, self.is_done = self._earlier(found), True

    def _earlier(self, found: Found) -> Any:
        """Return the result of an earlier call, or raise what is to be said of it."""
        if isinstance(found, Running):
            msg = f"an earlier call for the key {self._name!r} is still running: try again later, or wait longer"
            raise AlreadyRunning(msg)
        if not isinstance(found, Done):
            msg = f"the key {self._name!r} stands for another function or fingerprint: take a new key for a new thing"
            raise KeyReused(msg)
        if found.result:
            try:
                return self._codec.value(self._codec.open(self._errand.key, found.result))
            except Unreadable as error:
                reason = f"cannot be read ({error})"
        else:
            reason = "could not be stored"
        msg = f"the call for the key {self._name!r} was done, and is not done again, but its result {reason}"
        raise IdempotencyError(msg)

    def enter(self) -> Any:
        """Note that it runs around what is called now; return what ends that."""
        run = IdempotentRun(self._name, None if self._run is None else self._run.fence)
        return _current.set((*_current.get(), (run, self._run)))

    def leave(self, before: Any) -> None:
        """Note that it runs no more; `before` is what `enter` has returned."""
        _current.reset(before)

    async def keep(self, result: Any) -> Any:
        """Store what the function returned; return the copy that later calls get, or itself if none can be made."""
        if self._run is None:
            return result
        engine, key, raw = self._engine, self._errand.key, b""
        now = self._port.now()
        try:
            raw, result = self._codec.encode_checked(
                key,
                result,
                id="",
                created=now,
                fresh_until=now + self._terms.ttl,
                load_time=max(0.0, now - self._began),
            )
        except SerializationError as error:
            _log.warning("a function under @idempotent returned what cannot be kept: %s", error)
            engine.idempotency.unkept(self._run, "unstorable")
        except BaseException:  # the user's code, interrupted: it was done all the same
            engine.idempotency.finish_at_last(self._port, self._run, b"", self._terms.ttl)
            raise
        await engine.idempotency.finish(self._port, self._run, raw, self._terms.ttl)
        return result

    async def fail(self) -> None:
        """Let the next call run: this one came to nothing."""
        if self._run is not None:
            await self._engine.idempotency.free(self._port, self._run)

    def fail_at_last(self) -> None:
        """Do what `fail` does for a caller who was cancelled or interrupted."""
        if self._run is not None:
            self._engine.idempotency.free_at_last(self._port, self._run)
