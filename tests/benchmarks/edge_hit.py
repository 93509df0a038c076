"""Measure what limits and sessions at the edge of an app cost, beside the bare app and the peers.

Run ``python tests/benchmarks/edge_hit.py``; README.md beside this file says what each contender does and how to read
the result. The exit code is 1 if a contender failed, or if ``--check`` was given and a target was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench_edge_lineup import lineup
from bench_edge_rows import NO_PEERS, ROWS
from bench_http_run import Benchmark, run

BENCHMARK: Final = Benchmark(
    name="edge_hit",
    description="Measure limits and sessions beside the bare app and the peers.",
    rows=ROWS,
    packages=(
        "uvicorn",
        "httptools",
        "starlette",
        "fastapi",
        "waitress",
        "flask",
        "slowapi",
        "fastapi-limiter",
        "pyrate-limiter",
        "fastapi-redis-sdk",
        "Flask-Limiter",
        "limits",
        "starsessions",
        "Flask-Session",
    ),
    no_peers=NO_PEERS,
    lineup=lineup,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the tables, and return the exit code."""
    return run(BENCHMARK, words)


if __name__ == "__main__":
    raise SystemExit(main())
