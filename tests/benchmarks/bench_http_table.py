"""Rows about HTTP as people read them, in requests a second, and the promises that were missed.

The frame compares times, where less is better; here a ratio is one of requests a second, where more is better.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from bench_frame import Row, Standing
from bench_sync_subjects import OURS


class Promise(Protocol):
    """What we promise of one row."""

    @property
    def name(self) -> str:
        """What the row is called."""
        ...

    @property
    def target(self) -> float:
        """The smallest ratio to the bare app's requests a second; 0: none is promised."""
        ...

    @property
    def against_peers(self) -> bool:
        """Whether we are to be faster than every peer."""
        ...


_HEADER = (
    "| contender | requests/s, x bare | lowest to highest | server CPU a request, x bare | requests/s "
    "| server CPU, us/request |\n|---|--:|--:|--:|--:|--:|"
)


def render(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, one table each; the bare app is bold."""
    return "\n\n".join(_render_row(row) for row in rows)


def throughput(standing: Standing) -> float:
    """Return a contender's requests a second, in units of the bare app's."""
    return 1 / standing.wall_ratio


def _render_row(row: Row) -> str:
    lines = [f"**{row.name}**", "", _HEADER]
    lines += [_render_standing(standing, bold=standing.name == row.baseline) for standing in row.standings]
    lines += [f"| {name} | failed: {error.replace('|', '/')} | | | | |" for name, error in row.failures.items()]
    return "\n".join(lines)


def _render_standing(standing: Standing, *, bold: bool) -> str:
    cells = [
        standing.name,
        f"{throughput(standing):.2f}",
        f"{1 / standing.highest:.2f} to {1 / standing.lowest:.2f}",
        f"{standing.cpu_ratio:.2f}",
        f"{1e6 / standing.wall_us:.0f}",
        f"{standing.cpu_us:.0f}",
    ]
    if bold:
        cells = [f"**{cell}**" for cell in cells]
    return f"| {' | '.join(cells)} |"


def missed(rows: Sequence[Row], promises: Sequence[Promise], no_peers: Collection[str]) -> list[str]:
    """Return, in words, each row in which we serve fewer requests than promised, or not more than a peer.

    Args:
        rows: what was measured.
        promises: one for each row.
        no_peers: contenders that we are not compared with, besides the baseline.
    """
    known = {promise.name: promise for promise in promises}
    return [line for row in rows for line in _missed_in(row, known[row.name], no_peers)]


def _missed_in(row: Row, promise: Promise, no_peers: Collection[str]) -> list[str]:
    mine = row.standing(OURS)
    if mine is None:
        return [f"{row.name}: {OURS} has no result"]
    lines: list[str] = []
    if not throughput(mine) >= promise.target:
        lines.append(f"{row.name}: {OURS} served {throughput(mine):.2f} x bare, the target is {promise.target:.2f}")
    if not promise.against_peers:
        return lines
    peers = [one for one in row.standings if one.name not in no_peers and one.name != row.baseline]
    lines += [
        f"{row.name}: {OURS} served {throughput(mine):.2f} x bare, {peer.name} {throughput(peer):.2f}"
        for peer in peers
        if not throughput(mine) > throughput(peer)
    ]
    return lines
