"""Results as people read them: Markdown tables, the list of missed targets, and a page that carries the tables.

Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench_frame import Row, Standing

_HEADER = (
    "| contender | wall time, x baseline | lowest to highest | client CPU, x baseline | wall, us/op | CPU, us/op "
    "| ops/slice |\n|---|--:|--:|--:|--:|--:|--:|"
)


def render(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, one table each; the baseline is bold."""
    return "\n\n".join(_render_row(row) for row in rows)


def _render_row(row: Row) -> str:
    lines = [f"**{row.name}**", "", _HEADER]
    lines += [_render_standing(standing, bold=standing.name == row.baseline) for standing in row.standings]
    lines += [f"| {name} | failed: {error.replace('|', '/')} | | | | | |" for name, error in row.failures.items()]
    return "\n".join(lines)


def _render_standing(standing: Standing, *, bold: bool) -> str:
    cells = [
        standing.name,
        f"{standing.wall_ratio:.2f}",
        f"{standing.lowest:.2f} to {standing.highest:.2f}",
        f"{standing.cpu_ratio:.2f}",
        f"{standing.wall_us:.1f}",
        f"{standing.cpu_us:.1f}",
        str(standing.operations),
    ]
    if bold:
        cells = [f"**{cell}**" for cell in cells]
    return f"| {' | '.join(cells)} |"


def failed(rows: Sequence[Row]) -> list[str]:
    """Return, in words, each contender that did not finish a row."""
    return [f"{row.name}: {name} failed: {error}" for row in rows for name, error in row.failures.items()]


def missed(rows: Sequence[Row], ours: str, targets: Mapping[str, float]) -> list[str]:
    """Return, in words, each row in which we are slower than promised or not faster than a peer.

    Args:
        rows: what was measured.
        ours: the contender that the promises are about.
        targets: for a row's name, the largest wall ratio to the baseline; a row without one has only its peers.
    """
    return [line for row in rows for line in _missed_in(row, ours, targets.get(row.name))]


def _missed_in(row: Row, ours: str, target: float | None) -> list[str]:
    mine = row.standing(ours)
    if mine is None:
        return [f"{row.name}: {ours} has no result"]
    lines: list[str] = []
    if target is not None and not mine.wall_ratio <= target:
        lines.append(f"{row.name}: {ours} took {mine.wall_ratio:.2f} x baseline, the target is {target:.2f}")
    peers = [standing for standing in row.standings if standing.name not in (ours, row.baseline)]
    lines += [
        f"{row.name}: {ours} took {mine.wall_ratio:.2f} x baseline, {peer.name} {peer.wall_ratio:.2f}"
        for peer in peers
        if not mine.wall_ratio < peer.wall_ratio
    ]
    return lines


def splice(page: str, name: str, text: str) -> str:
    """Return `page` with `text` between the two comments ``<!-- name:begin -->`` and ``<!-- name:end -->``.

    Raises:
        ValueError: the page does not have each of them once, in this order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        msg = f"the page needs the lines {begin} and {end} once each, in this order"
        raise ValueError(msg)
    head, _, rest = page.partition(begin)
    tail = rest.partition(end)[2]
    return f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}"
