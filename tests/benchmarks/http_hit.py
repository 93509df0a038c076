"""Measure what an HTTP cache in front of an app brings and costs, beside the bare app and the peers.

Run ``python tests/benchmarks/http_hit.py``; README.md beside this file says what each contender does and how to read
the result. The exit code is 1 if a contender failed, or if ``--check`` was given and a target was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench_http_lineup import lineup
from bench_http_rows import NO_PEERS, ROWS
from bench_http_run import Benchmark, run

BENCHMARK: Final = Benchmark(
    name="http_hit",
    description="Measure an HTTP cache beside the bare app and the peers.",
    rows=ROWS,
    packages=(
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
    ),
    no_peers=NO_PEERS,
    lineup=lineup,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the tables, and return the exit code."""
    return run(BENCHMARK, words)


if __name__ == "__main__":
    raise SystemExit(main())
