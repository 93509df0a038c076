"""Measure a hit in the process, the whole decorator included, beside the bare call and the peers.

Run ``python tests/benchmarks/near_hit.py``; README.md beside this file says how to read the result. The exit code is 1
if a contender failed, or if ``--check`` was given and a hit took more than 2.5 microseconds beyond the bare call.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import bench_server
import redis
from bench_frame import Row, compare
from bench_lineup import Load, async_lineup, sync_lineup
from bench_near_subjects import ASYNC_NEAR, BARE, SYNC_NEAR
from bench_sync_subjects import OURS
from bench_table import failed, render, splice

TARGET = 2.5
"""Microseconds beyond the bare call."""
LOADS = (Load("sync, in the process", "sync", 1), Load("async, in the process", "async", 1))


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the tables, and return the exit code."""
    parser = argparse.ArgumentParser(description="Measure a hit in the process beside the bare call and the peers.")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender (default 9)")
    parser.add_argument("--slice-ms", type=float, default=60.0, help="milliseconds a turn (default 60)")
    parser.add_argument("--markdown", type=Path, help="page to put the tables into, unless a contender failed")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the target is missed")
    options = parser.parse_args(words)
    with bench_server.running(bench_server.find_server("auto")) as port:
        rows = [_measure(load, port, options) for load in LOADS]
    costs = [f"{row.name}: holdfast {_beyond(row):.2f} us beyond the bare call" for row in rows]
    text = f"{render(rows)}\n\n{'; '.join(costs)}."
    print(text)
    problems = failed(rows)
    if options.markdown and not problems:
        page = splice(options.markdown.read_text("utf-8"), "near_hit", text)
        options.markdown.write_text(page, "utf-8")
    if options.check:
        problems += [f"{row.name}: more than {TARGET} us beyond the bare call" for row in rows if _beyond(row) > TARGET]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _measure(load: Load, port: int, options: argparse.Namespace) -> Row:
    with redis.Redis(port=port) as client:
        client.flushall()
    opened = sync_lineup(SYNC_NEAR, load, port) if load.colour == "sync" else async_lineup(ASYNC_NEAR, load, port)
    with opened as lineup:
        return compare(
            load.name,
            lineup.contenders,
            baseline=BARE,
            rounds=options.rounds,
            seconds=options.slice_ms / 1000,
            chance=Random(),
            failures=lineup.failures,
        )


def _beyond(row: Row) -> float:
    """Return by how many microseconds our hit is dearer than the bare call."""
    ours, bare = row.standing(OURS), row.standing(BARE)
    return float("nan") if ours is None or bare is None else ours.wall_us - bare.wall_us


if __name__ == "__main__":
    raise SystemExit(main())
