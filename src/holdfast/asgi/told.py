"""The decisions that limits inside of an app make, told in the fields of whatever it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from holdfast.policy.decision import LimitDecision, PolicyDecision

KEY: Final = "holdfast.told"
"""Where a scope has what is to be told."""


class Told:
    """The decisions about one request, in the order in which they were made."""

    __slots__ = ("_decisions", "seen")

    def __init__(self) -> None:
        self._decisions: list[LimitDecision] = []
        self.seen: dict[str, int] = {}
        """How many limits of each name were asked."""

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> Told:
        """Return what is to be told of a request; it begins with the first decision if no middleware has begun it."""
        found = scope.get(KEY)
        if not isinstance(found, Told):
            found = scope[KEY] = cls()
        return found

    def add(self, decision: LimitDecision) -> None:
        """Note a decision. One in shadow mode is not told: a client that slows down for it would spoil the trial."""
        if not decision.shadow:
            self._decisions.append(decision)

    def decision(self) -> LimitDecision:
        """Return all decisions as one; there must be one at least. A refusal is the last of them."""
        *_, last = decisions = self._decisions
        if len(decisions) == 1:
            return last
        policies: tuple[PolicyDecision, ...] = tuple(each for decision in decisions for each in decision.policies)
        degraded = last.degraded or (last.allowed and any(each.degraded for each in decisions))
        return LimitDecision(last.allowed, policies, degraded)

    def fields(self) -> list[tuple[str, str]]:
        """Return the fields that tell of all decisions, each name once."""
        return self.decision().headers() if self._decisions else []


class ToldMiddleware:
    """Adds the fields of all decisions to responses, whatever kind of object they are, unless they have them."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Let the app answer, and add the fields to the head of its answer."""
        if scope["type"] != "http" or isinstance(scope.get(KEY), Told):
            await self.app(scope, receive, send)
            return
        told = scope[KEY] = Told()

        async def send_told(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                there = {name.lower() for name, _ in headers}
                more = ((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in told.fields())
                message = {**message, "headers": [*headers, *(each for each in more if each[0] not in there)]}
            await send(message)

        await self.app(scope, receive, send_told)
