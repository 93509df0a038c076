"""What the demo prints: before, the set-up; after, the findings, as a table that explains itself. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from holdfast.demo.database import Size
from holdfast.demo.findings import Findings, Visit

Cell = Callable[[Visit], str]

_ROWS: Final[Sequence[tuple[str, Cell, str]]] = (
    ("requests", lambda visit: f"{visit.requests:,}", ""),
    ("cold, median", lambda visit: _milliseconds(visit.cold_median), "first requests: SQLite computes the report"),
    ("warm, median", lambda visit: _milliseconds(visit.warm_median), "later requests: the cache should have it"),
    ("warm, 95 of 100 within", lambda visit: _milliseconds(visit.warm_95th), ""),
    ("speed-up", lambda visit: f"{visit.cold_median / visit.warm_median:,.0f} x", "cold median / warm median"),
    ("hit ratio", lambda visit: f"{visit.hit_ratio:.1%}", "look-ups that the cache could answer"),
    ("queries run", lambda visit: f"{visit.queries:,}", "by SQLite"),
    ("queries saved", lambda visit: f"{visit.requests - visit.queries:,}", "requests that needed no query"),
)


def introduction(size: Size, backend: str, failure: str | None, requests: str) -> str:
    """Return what is about to happen.

    Args:
        size: how big the shop is.
        backend: where entries are kept.
        failure: why the backend cannot be used, or None.
        requests: how the apps will be asked.
    """
    lines = [
        f"Database: SQLite, {size.products:,} products and {size.orders:,} orders",
        f"Backend:  {backend}",
        "Apps:     one catalogue in two skins, FastAPI (uvicorn, async) and Flask (waitress, threads)",
        f"Requests: {requests} ...\n",
    ]
    if failure:
        told = (
            f"          It cannot be used: {failure}.\n          The apps go on without it; every request is a query."
        )
        lines.insert(2, told)
    return "\n".join(lines)


def render(findings: Findings) -> str:
    """Return the table, and what one skin could read of the other's."""
    visits, shared = findings.visits, findings.shared
    lines = ["".join([" " * 24, *(f"{visit.skin:>12}" for visit in visits)])]
    for title, cell, note in _ROWS:
        lines.append("".join([f"{title:24}", *(f"{cell(visit):>12}" for visit in visits), f"   {note}"]).rstrip())
    lines.append("")
    asked = len(shared.read.answers)
    lines.append(
        f"Shared: {shared.reader} answered {shared.served} of {asked} reports from what {shared.filler} had stored."
    )
    return "\n".join(f"  {line}".rstrip() for line in lines)


def conclusion(findings: Findings) -> str:
    """Return what the table comes to, given that there are no problems."""
    saved = sum(visit.saved_seconds for visit in findings.visits)
    return f"  Every warm answer was byte for byte the cold one. In all, the cache saved {saved:,.1f} s of waiting."


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"
