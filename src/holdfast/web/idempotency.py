"""Requests that are to be done once: whose they are, whether they were done, and what is kept of their responses.

The same for ASGI, WSGI and frameworks. A middleware asks `examine` first; then it reads the body, up to `max_body`, and
asks `begin`; then it lets the app answer, and ends the run in one of these ways, of which only the first counts:

    finish          the response is complete, and was collected: its result, or a failure by its status
    finish_unkept   the response is complete or on its way, and too long, or of a form that cannot be collected
    forget          the same, for a destructor
    free            the app has raised, or has not answered
    free_at_last    the same, for who is cancelled or interrupted, and may await nothing
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from holdfast.call_names import value_of
from holdfast.codec import Codec
from holdfast.core.idempotency import Done, Errand, Found, Running
from holdfast.core.idempotency_renewing import Run
from holdfast.defaults import engine_of
from holdfast.engine import Engine
from holdfast.errors import BackendError, ConfigurationError, SerializationError
from holdfast.events import EntryUnreadable
from holdfast.idempotent_calls import IdempotentRun
from holdfast.layer import Layer
from holdfast.policy.frame import Unreadable
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.policy.idempotency import (
    REPLAYED,
    KeptResponse,
    fingerprint_of,
    is_outcome,
    kept_fields,
    name_of,
    parse_key,
)
from holdfast.policy.idempotency_problem import Problem, problem
from holdfast.port import Port
from holdfast.web.idempotency_identity import default_identity
from holdfast.web.idempotency_options import IdempotencyRules, checked_rules
from holdfast.web.problems import problem_answer
from holdfast.web.requests import WebRequest

_SOON: Final[Pairs] = (("Retry-After", "1"),)


class Asked(NamedTuple):
    """A request that is to be done once."""

    request: WebRequest
    key: str
    engine: Engine


class WebIdempotency:
    """The idempotency of one middleware, in whichever layer it finds.

    Args:
        layer: the layer; None is the default one of the moment.
        options: of the middleware.
        find_user: from what is `raw` in a request to who it comes from, as an outer middleware or the server has found
            out, or None; it may be async where `is_async`.
        is_async: whether it serves an event loop, and so may await; otherwise its coroutines never suspend.

    Raises:
        ConfigurationError: an option cannot work; the message names it.
    """

    def __init__(self, layer: Layer | None, options: Any, find_user: Callable[[Any], Any], *, is_async: bool) -> None:
        self.rules: IdempotencyRules = checked_rules(options, is_async_app=is_async)
        self._find_user = find_user
        self._is_async = is_async
        self._find_engine = engine_of(layer)
        self._codec: tuple[Engine, Codec] | None = None

    def examine(self, request: WebRequest, outer: Any = None) -> Asked | Answer | None:
        """Say what a request is: one that is to be done once, one to be refused, or None: none of ours.

        Args:
            request: as it came.
            outer: what a middleware like this one has left for the app, if there is one outside: the request is done
                once already, and would wait for its own end here.
        """
        rules = self.rules
        if request.method not in rules.methods or (rules.exempt and rules.exempt.are_certainly(request.path)):
            return None
        engine = self._find_engine()
        if engine.off.get():
            return None
        value = request.get(rules.header)
        if value is None:
            return self.refusal("key-missing") if rules.requires(request.path) else None
        key = parse_key(value, strict=rules.strict)
        if key is None:
            return self.refusal("key-malformed")
        is_known = isinstance(outer, IdempotentRun) and outer.fencing_token is not None and outer.key == key
        return None if is_known else Asked(request, key, engine)

    def refusal(self, kind: Problem) -> Answer:
        """Return the answer to a request that the app does not see."""
        fields = _SOON if kind in {"in-progress", "unavailable"} else ()
        return problem_answer(problem(kind, self.rules.header, self.rules.max_body), fields)

    async def begin(self, asked: Asked, body: bytes) -> WebRun | Answer:
        """Begin a request, or return the answer to it: that of an earlier one, or what is the matter.

        Args:
            asked: what `examine` has returned.
            body: of the request.
        """
        engine, rules = asked.engine, self.rules
        port: Port = engine.asyncio if self._is_async else engine.blocking
        errand = Errand(
            engine.caching.names.once(await self._name(asked)),
            fingerprint_of(asked.request.query, asked.request.get("content-type") or "", body),
            rules.lease,
            rules.wait,
            engine.recorder.tally(rules.namespace or "idempotency"),
        )
        try:
            found = await engine.idempotency.begin(port, errand)
        except BackendError:
            if not rules.runs_without:
                return self.refusal("unavailable")
            return WebRun(self, engine, port, None, asked.key)
        if isinstance(found, Run):
            return WebRun(self, engine, port, found, asked.key)
        return self._earlier(engine, errand, found)

    async def _name(self, asked: Asked) -> str:
        """Return what the record of a request is called: the key of another client is another key."""
        request = asked.request
        given = None if self.rules.identity is None else await value_of(self.rules.identity(request))
        if given is None:
            user: str | None = await value_of(self._find_user(request.raw))
            identity = f"default:{default_identity(request, user)}"
        elif isinstance(given, str) and given:
            identity = f"given:{given}"
        else:
            what = "empty text, which would be one client" if given == "" else type(given).__name__
            msg = f"identity= must return text or None, not {what}: None is who is not known to it"
            raise ConfigurationError(msg)
        host = (request.host or "").lower()
        return name_of(self.rules.namespace, host, identity, request.method, request.path, key=asked.key)

    def _earlier(self, engine: Engine, errand: Errand, found: Found) -> Answer:
        if isinstance(found, Running):
            return self.refusal("in-progress")
        if not isinstance(found, Done):
            return self.refusal("key-reused")
        if not found.result:
            return self.refusal("result-not-kept")
        codec = self.codec(engine)
        try:
            kept: KeptResponse = codec.value(codec.open(errand.key, found.result))
        except Unreadable as error:
            if engine.recorder.hooks:
                engine.recorder.emit(EntryUnreadable(errand.tally.pattern, errand.key, str(error)))
            return self.refusal("result-not-kept")
        return Answer(kept.status, kept.fields, (REPLAYED,), kept.body)

    def codec(self, engine: Engine) -> Codec:
        """Return what turns responses into entries of a layer, and back."""
        known = self._codec
        if known is None or known[0] is not engine:
            known = self._codec = engine, engine.codec("msgpack", None, KeptResponse)
        return known[1]


@dataclass(frozen=True, slots=True)
class WebRun:
    """A request that the app is to answer."""

    idempotency: WebIdempotency
    engine: Engine
    port: Port
    run: Run | None
    """None: Redis could not be asked, and nothing will be kept."""
    key: str
    """As the client gave it."""

    @property
    def info(self) -> IdempotentRun:
        """What the app may know of it."""
        return IdempotentRun(self.key, None if self.run is None else self.run.fence)

    @property
    def max_body(self) -> int:
        """Bytes of the longest response that is collected; nothing is without Redis."""
        return -1 if self.run is None else self.idempotency.rules.max_body

    async def finish(self, status: int, fields: Pairs, body: bytes) -> None:
        """Keep a response, or free the key if it says that it came to nothing.

        Args:
            status: of the response.
            fields: of the response, as the app gave them.
            body: all of it.
        """
        rules = self.idempotency.rules
        if self.run is None:
            return
        if not is_outcome(status, fields, keep_errors=rules.keep_errors):
            await self.free()
            return
        now, raw = self.port.now(), b""
        try:
            kept = KeptResponse(status, kept_fields(fields), body)
            raw = self.idempotency.codec(self.engine).encode(
                self.run.key, kept, id="", created=now, fresh_until=now + rules.ttl, load_time=0.0
            )
        except SerializationError:
            self.engine.idempotency.unkept(self.run, "unstorable")
        await self.engine.idempotency.finish(self.port, self.run, raw, rules.ttl)

    async def finish_unkept(self, status: int, fields: Pairs) -> None:
        """Note that a response was given, and that it does not come back; or free the key if it came to nothing."""
        rules = self.idempotency.rules
        if self.run is None or self.run.is_over:
            return
        if not is_outcome(status, fields, keep_errors=rules.keep_errors):
            await self.free()
            return
        self.engine.idempotency.unkept(self.run, "too long")
        await self.engine.idempotency.finish(self.port, self.run, b"", rules.ttl)

    async def free(self) -> None:
        """Let the next request with this key run: this one came to nothing."""
        if self.run is not None:
            await self.engine.idempotency.free(self.port, self.run)

    def free_at_last(self) -> None:
        """Do what `free` does for who is cancelled or interrupted."""
        if self.run is not None:
            self.engine.idempotency.free_at_last(self.port, self.run)
