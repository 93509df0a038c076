"""What the suite's results come to: counts by kind, what failed and why, and the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench_conformance_reasons import Failure, Trial, explain
from bench_conformance_suite import Case, Results

KINDS: Final = ("required", "optimal", "check")


@dataclass(frozen=True, slots=True)
class Tally:
    """How many tests of one kind there are, were passed, and were not tried."""

    passed: int
    total: int
    untried: int

    def __str__(self) -> str:
        """Return it for a table."""
        text = f"{self.passed} of {self.total}"
        return f"{text} ({self.untried} not tried)" if self.untried else text


def count(cases: Iterable[Case], results: Results, kind: str) -> Tally:
    """Count one kind. What was not passed counts as failed, whoever is to blame: the cache, its proxy or the suite."""
    verdicts = [results.verdicts.get(case.id) for case in cases if case.kind == kind]
    return Tally(sum(each is True for each in verdicts), len(verdicts), sum(each is None for each in verdicts))


def failures(cases: Iterable[Case], results: Results, kind: str) -> list[Failure]:
    """Return what was not passed of one kind, in the suite's order."""
    found: list[Failure] = []
    for case in cases:
        verdict = results.verdicts.get(case.id)
        if case.kind == kind and verdict is not True:
            told = ": ".join(map(str, verdict)) if isinstance(verdict, list) else "not tried"
            found.append(Failure(case.id, told, results.statuses.get(case.id)))
    return found


def unknown(cases: Sequence[Case], trial: Trial, results: Results) -> list[str]:
    """Return, in words, which required tests fail without a reason that we know."""
    return [
        f"{trial.side}, {trial.title}: {each.case}: {each.told} (status {each.status})"
        for each in failures(cases, results, "required")
        if explain(each, trial) is None
    ]


def render_counts(cases: Sequence[Case], rows: Mapping[str, Results]) -> str:
    """Return a table of counts, a row for each cache."""
    lines = ["| cache | required | optimal | check |", "|---|---|---|---|"]
    for name, results in rows.items():
        lines.append(f"| {name} | {' | '.join(str(count(cases, results, kind)) for kind in KINDS)} |")
    return "\n".join(lines)


def render_failures(cases: Sequence[Case], trials: Sequence[tuple[Trial, Results]]) -> str:
    """Return a table of the required tests that fail: each with the trials in which it does, and why."""
    seen: dict[tuple[str, str], list[str]] = {}
    for trial, results in trials:
        for each in failures(cases, results, "required"):
            why = explain(each, trial) or f"**UNKNOWN**: {each.told} (status {each.status})"
            seen.setdefault((each.case, why.replace("|", "/")), []).append(f"{trial.side} {trial.title}")
    lines = ["| required, and fails | where | why |", "|---|---|---|"]
    for (case, why), places in seen.items():
        where = "everywhere" if len(places) == len(trials) else "; ".join(places)
        lines.append(f"| `{case}` | {where} | {why} |")
    return "\n".join(lines)


def render_optional(cases: Sequence[Case], trials: Sequence[tuple[Trial, Results]]) -> str:
    """Return a line about each trial with the optimal tests that fail."""
    return "\n".join(
        f"- {trial.side} {trial.title}: "
        + (", ".join(f"`{each.case}`" for each in failures(cases, results, "optimal")) or "none")
        for trial, results in trials
    )
