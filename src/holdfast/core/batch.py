"""What one call with many ids asks for, and the members of the loads that it takes part in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from holdfast._flight import Flight
from holdfast._missing import MISSING
from holdfast.core.call import Call, no_load
from holdfast.core.loading import checked
from holdfast.core.plan import Outcome, Plan
from holdfast.errors import ConfigurationError

LoadMany: TypeAlias = Callable[[list[Any]], Awaitable[Any]]
Outcomes: TypeAlias = dict[str, Outcome]
"""What a call gets, by key; the value is `MISSING` where there is none."""


class Rider(NamedTuple):
    """One id of a call as a member of a flight."""

    call: Call
    flight: Flight
    joined: int = 0
    opened: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call with many ids asks for."""

    plan: Plan
    load: LoadMany
    ids: Mapping[str, Any]
    """The id behind each key, in the order in which they were asked for. Ids with the same text are the same id."""
    tags: Mapping[str, tuple[str, ...]]
    """The tags that the call gives to its entries, by key; keys without tags may be left out."""
    function: str
    """The name of the loader, for messages."""

    def call(self, key: str, *, force: bool = False) -> Call:
        """Return what is wanted of one entry."""
        return Call(self.plan, key, no_load, self.tags.get(key, ()), force=force)

    async def run(self, keys: Iterable[str]) -> dict[str, Any]:
        """Call the loader once; return what it brings by key, `MISSING` for what it leaves out.

        A value that nobody asked for is ignored: whose entry it would be is not known here.

        Raises:
            ConfigurationError: what it returned is no mapping.
        """
        wanted = {key: self.ids[key] for key in keys}
        found = checked(await self.load(list(wanted.values())), self.function)
        if not isinstance(found, Mapping):
            msg = (
                f"{self.function} returned {type(found).__name__}: a function decorated with @cached_many returns a "
                "mapping, {id: value}, of the ids that exist"
            )
            raise ConfigurationError(msg)
        values: Mapping[Any, Any] = found  # pyright: ignore[reportUnknownVariableType] - of whatever the user has
        return {key: values.get(id_, MISSING) for key, id_ in wanted.items()}
