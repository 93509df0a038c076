"""Rows about HTTP as people read them, in requests a second, and the promises that were missed.

The frame compares times, where less is better; here a ratio is one of requests a second, where more is better.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench_frame import Row, Standing
from bench_http_rows import NO_PEERS, HttpRow
from bench_http_trial import Kind
from bench_sync_subjects import OURS

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


def missed(rows: Sequence[Row], kinds: Sequence[HttpRow]) -> list[str]:
    """Return, in words, each row in which we serve fewer requests than promised, or not more than a peer.

    Peers count where a cache answers. Elsewhere they do not do the same: who takes no lease stores a miss sooner, and
    who invalidates nothing has nothing to do for a POST.
    """
    known = {kind.name: kind for kind in kinds}
    return [line for row in rows for line in _missed_in(row, known[row.name])]


def _missed_in(row: Row, kind: HttpRow) -> list[str]:
    mine = row.standing(OURS)
    if mine is None:
        return [f"{row.name}: {OURS} has no result"]
    lines: list[str] = []
    if not throughput(mine) >= kind.target:
        lines.append(f"{row.name}: {OURS} served {throughput(mine):.2f} x bare, the target is {kind.target:.2f}")
    if kind.kind not in (Kind.HIT, Kind.MATCH):
        return lines
    peers = [one for one in row.standings if one.name not in NO_PEERS and one.name != row.baseline]
    lines += [
        f"{row.name}: {OURS} served {throughput(mine):.2f} x bare, {peer.name} {throughput(peer):.2f}"
        for peer in peers
        if not throughput(mine) > throughput(peer)
    ]
    return lines
