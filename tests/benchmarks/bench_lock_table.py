"""Handovers and crowds as people read them, and the promises about them that were missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from textwrap import shorten
from typing import Final

from bench_frame import Row
from bench_lock_crowd import ALL, Crowd
from bench_lock_handover import HandoverRow
from bench_lock_ours import ALL_OURS, FAIR
from bench_table import missed

MILLISECONDS: Final = 3.0
"""How long a handover of ours may take, in the median."""
COMMANDS: Final = 20
"""A handover of ours takes fewer."""
_HANDOVER = "| contender | median, ms | one in ten takes longer than, ms | commands |\n|---|--:|--:|--:|"
_CROWD = "| contender | end | had it | seconds | commands | in order |\n|---|---|--:|--:|--:|---|"


def render_handovers(row: HandoverRow) -> str:
    """Return the handovers of one colour as Markdown."""
    lines = [f"**{row.name}**", "", _HANDOVER]
    lines += [f"| {one.name} | {one.median_ms:.2f} | {one.slow_ms:.2f} | {one.commands:.1f} |" for one in row.standings]
    lines += [f"| {name} | failed: {_flat(error)} | | |" for name, error in row.failures.items()]
    return "\n".join(lines)


def render_crowd(title: str, crowds: Sequence[Crowd]) -> str:
    """Return how crowds were served as Markdown."""
    lines = [f"**{title}**", "", _CROWD]
    for one in crowds:
        order = "yes" if one.in_order else "no"
        ended = shorten(_flat(one.ended), 60, placeholder=" ...")
        lines.append(f"| {one.name} | {ended} | {one.served} | {one.seconds:.2f} | {one.commands} | {order} |")
    return "\n".join(lines)


def _flat(text: str) -> str:
    return text.replace("|", "/")


def missed_when_free(rows: Sequence[Row], targets: Mapping[str, float]) -> list[str]:
    """Return, in words, where a lock of ours is slower than promised or not faster than a peer's."""
    lines: list[str] = []
    for row in rows:
        for name in [one.name for one in row.standings if one.name in ALL_OURS] or ALL_OURS[:1]:
            others = {*ALL_OURS} - {name}  # we are no peer of ourselves
            seen = replace(row, standings=tuple(one for one in row.standings if one.name not in others))
            lines += missed([seen], name, targets)
    return lines


def missed_when_handed_over(row: HandoverRow) -> list[str]:
    """Return, in words, where a handover of ours takes longer or more commands than promised, or a peer's is faster.

    Peers that send more commands than ours may are left out: who asks without a pause is fast, and Redis pays for it.
    """
    ours = [one for one in row.standings if one.name in ALL_OURS]
    peers = [one for one in row.standings if one.name not in ALL_OURS and one.commands < COMMANDS]
    lines: list[str] = [] if ours else [f"{row.name}: {ALL_OURS[0]} has no result"]
    for mine in ours:
        if not mine.median_ms <= MILLISECONDS:
            lines.append(f"{row.name}: {mine.name} took {mine.median_ms:.2f} ms, the target is {MILLISECONDS:.2f}")
        if not mine.commands < COMMANDS:
            lines.append(f"{row.name}: {mine.name} sent {mine.commands:.1f} commands, the target is below {COMMANDS}")
        lines += [
            f"{row.name}: {mine.name} took {mine.median_ms:.2f} ms, {peer.name} {peer.median_ms:.2f}"
            for peer in peers
            if not mine.median_ms < peer.median_ms
        ]
    return lines


def missed_by_crowd(crowds: Sequence[Crowd]) -> list[str]:
    """Return, in words, what ours did not do for a crowd: serve all, in order where fair, and sooner than the peers."""
    lines: list[str] = []
    ours = [one for one in crowds if one.name in ALL_OURS]
    if not ours:
        lines.append(f"crowd: {ALL_OURS[0]} has no result")
    for mine in ours:
        if mine.ended != ALL:
            lines.append(f"crowd: {mine.name}: {mine.ended}, {mine.served} had the lock")
        if mine.name == FAIR and not mine.in_order:
            lines.append(f"crowd: {mine.name} did not keep the order")
        lines += [
            f"crowd: {mine.name} took {mine.seconds:.2f} s, {peer.name} {peer.seconds:.2f}"
            for peer in crowds
            if peer.name not in ALL_OURS and peer.ended == ALL and not mine.seconds < peer.seconds
        ]
    return lines
