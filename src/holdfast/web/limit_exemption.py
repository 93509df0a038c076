"""What the limits at the edge are not about: paths, or what a user's function says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from holdfast.call_names import value_of
from holdfast.web.paths import Paths
from holdfast.web.requests import WebRequest


@dataclass(frozen=True, slots=True)
class Exemption:
    """What a rule, or all of a middleware, is not about."""

    paths: Paths
    function: Callable[[WebRequest], Any] | None

    @classmethod
    def of(cls, given: Any, option: str) -> Exemption:
        """Return the exemption that a user means.

        Raises:
            ConfigurationError: it is neither paths nor a function.
        """
        if callable(given):
            return cls(Paths(()), given)
        return cls(Paths.of(() if given is None else given, option), None)

    def __bool__(self) -> bool:
        return self.function is not None or bool(self.paths)

    async def holds(self, request: WebRequest) -> bool:
        """Say whether a request is exempt."""
        if self.function is not None:
            return bool(await value_of(self.function(request)))
        return self.paths.are_certainly(request.path)
