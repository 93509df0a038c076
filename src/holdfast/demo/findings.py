"""What the answers amount to, and what is wrong with them. Pure: no I/O, no clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import NamedTuple


class Answer(NamedTuple):
    """What came back for one request."""

    path: str
    status: int
    """The HTTP status, or 0 if there was no answer."""
    body: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Counts:
    """What a skin has counted so far."""

    queries: int
    hits: int
    misses: int

    def since(self, before: Counts) -> Counts:
        """Return what was added after `before`."""
        return Counts(self.queries - before.queries, self.hits - before.hits, self.misses - before.misses)


@dataclass(frozen=True, slots=True)
class Pass:
    """Answers that belong together, and what the skin counted meanwhile."""

    answers: tuple[Answer, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Visit:
    """What one skin did, cold and then warm."""

    skin: str
    cold: Pass
    warm: Pass

    @property
    def requests(self) -> int:
        """How many requests it got."""
        return len(self.cold.answers) + len(self.warm.answers)

    @property
    def cold_median(self) -> float:
        """Seconds to a cold answer."""
        return median(answer.seconds for answer in self.cold.answers)

    @property
    def warm_median(self) -> float:
        """Seconds to a warm answer."""
        return median(answer.seconds for answer in self.warm.answers)

    @property
    def warm_95th(self) -> float:
        """Seconds within which 95 of 100 warm answers came."""
        return quantiles((answer.seconds for answer in self.warm.answers), n=20, method="inclusive")[-1]

    @property
    def hit_ratio(self) -> float:
        """The part of the look-ups that were hits, as the layer counted them."""
        hits = self.cold.counts.hits + self.warm.counts.hits
        asked = hits + self.cold.counts.misses + self.warm.counts.misses
        return hits / asked if asked else 0.0

    @property
    def queries(self) -> int:
        """How many queries SQLite ran."""
        return self.cold.counts.queries + self.warm.counts.queries

    @property
    def saved_seconds(self) -> float:
        """Seconds of waiting that the warm answers would have cost as cold ones, beyond what they did cost."""
        cold = {answer.path: answer.seconds for answer in self.cold.answers}
        return sum(cold[answer.path] - answer.seconds for answer in self.warm.answers)


@dataclass(frozen=True, slots=True)
class Shared:
    """What one skin answered from the entries of another."""

    reader: str
    filler: str
    read: Pass

    @property
    def served(self) -> int:
        """How many answers needed no query."""
        return max(0, len(self.read.answers) - self.read.counts.queries)


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a run of the demo has found out."""

    visits: tuple[Visit, ...]
    shared: Shared
    failure: str | None
    """The backend's first error, if it failed."""

    def problems(self) -> list[str]:
        """Return what is wrong, one sentence each; empty if the cache did its work."""
        found = [f"the backend failed: {self.failure}"] if self.failure else []
        for visit in self.visits:
            found += _visit_problems(visit)
        return [*found, *_shared_problems(self.shared, self.visits[0])]


def _visit_problems(visit: Visit) -> Iterator[str]:
    warm = visit.warm
    yield from _failed(visit.skin, [*visit.cold.answers, *warm.answers])
    expected = _bodies(visit.cold)
    if different := _paths(answer for answer in warm.answers if answer.body != expected[answer.path]):
        yield f"{visit.skin}: warm answers differ from cold ones: {different}"
    if warm.counts.queries:
        yield f"{visit.skin}: {warm.counts.queries} queries were run for {len(warm.answers)} warm requests, not 0"
    if warm.counts.hits != len(warm.answers):
        yield f"{visit.skin}: {warm.counts.hits} hits were counted for {len(warm.answers)} warm requests"


def _shared_problems(shared: Shared, filled: Visit) -> Iterator[str]:
    yield from _failed(shared.reader, shared.read.answers)
    if shared.served < len(shared.read.answers):
        yield f"{shared.reader} read only {shared.served} of {len(shared.read.answers)} entries of {shared.filler}"
    expected = _bodies(filled.cold)
    unequal = (answer for answer in shared.read.answers if not _same_json(answer.body, expected[answer.path]))
    if different := _paths(unequal):
        yield f"{shared.reader} answers differ from those of {shared.filler}: {different}"


def _failed(skin: str, answers: Iterable[Answer]) -> Iterator[str]:
    statuses = {(answer.path, answer.status) for answer in answers if answer.status != 200}
    for path, status in sorted(statuses):
        yield f"{skin}: {path} answered {status}" if status else f"{skin}: {path} was not answered"


def _bodies(cold: Pass) -> Mapping[str, bytes]:
    return {answer.path: answer.body for answer in cold.answers}


def _paths(answers: Iterable[Answer]) -> str:
    return ", ".join(sorted({answer.path for answer in answers}))


def _same_json(one: bytes, other: bytes) -> bool:
    # Frameworks order and space JSON differently; what it says has to be the same.
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return one == other
