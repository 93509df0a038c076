"""The subcommand `demo`: its options, and the order in which things happen."""

from __future__ import annotations

import argparse
import secrets
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.demo import database, folder
from holdfast.errors import ConfigurationError

if TYPE_CHECKING:
    from holdfast.demo.findings import Findings
    from holdfast.demo.skins import Skin

_NEEDED: Final = ("fastapi", "flask", "uvicorn", "waitress")
_FEWEST_PRODUCTS: Final = 12

OK: Final = 0
FAILED: Final = 1
NOT_STARTED: Final = 2


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    size: database.Size
    folder: Path | None
    url: str
    serve: bool
    check: bool


def add_parser(commands: Any) -> None:
    """Add the subcommand to a command line.

    Args:
        commands: what `ArgumentParser.add_subparsers` returned.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="see what caching does to slow reports, in a minute",
        description="Serve slow reports over a SQLite database with FastAPI and with Flask, ask for them cold and "
        "warm, and print what the cache did.",
        epilog="Exit code: 0; 1 if --check found something wrong; 2 if the demo could not start.",
    )
    add = parser.add_argument
    add(
        "--url", default="memory://holdfast-demo", help="the backend, like redis://localhost:6379/0 (default: embedded)"
    )
    add("--serve", action="store_true", help="keep the apps up for a browser until Ctrl-C")
    add("--check", action="store_true", help="fail unless warm answers equal cold ones and came from the cache")
    add("--products", type=_at_least(_FEWEST_PRODUCTS), default=100_000, metavar="N", help="default: 100000")
    add("--orders", type=_at_least(1), default=1_000_000, metavar="N", help="default: 1000000")
    add("--folder", type=Path, metavar="PATH", help="where to keep the database (default: in the temporary folder)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and return the exit code."""
    size = database.Size(arguments.products, arguments.orders)
    options = Options(size, arguments.folder, arguments.url, arguments.serve, arguments.check)
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        return _refuse(f"{', '.join(missing)} not installed; run: pip install 'holdfast[demo]'")
    try:
        return _demonstrate(options)
    except ConfigurationError as error:
        return _refuse(str(error))
    except (OSError, sqlite3.Error) as error:
        return _refuse(str(error))


def _demonstrate(options: Options) -> int:
    from holdfast.demo.driver import tour
    from holdfast.demo.skins import Backend, probe, serve_fastapi, serve_flask

    # A namespace of its own makes the first pass cold on a server that other runs have used; the TTL clears it up.
    backend = Backend(options.url, f"holdfast-demo-{secrets.token_hex(4)}")
    failure = probe(backend)
    path = database.prepare(folder.choose(options.folder), options.size, sys.stdout)
    with ExitStack() as stack:
        skins = [serve(path, backend) for serve in (serve_fastapi, serve_flask)]
        first, second = (stack.enter_context(skin) for skin in skins)
        _introduce(options, str(backend), failure)
        findings = tour(first, second)
        code = _report(findings, options)
        if options.serve:
            _wait(first, second)
    return code


def _introduce(options: Options, backend: str, failure: str | None) -> None:
    from holdfast.demo import table
    from holdfast.demo.driver import CONCURRENCY, WARM_PASSES
    from holdfast.demo.reports import PAGES

    requests = f"{len(PAGES)} reports, each once cold, then up to {WARM_PASSES} times warm, {CONCURRENCY} at a time"
    print(table.introduction(options.size, backend, failure, requests), flush=True)


def _report(findings: Findings, options: Options) -> int:
    from holdfast.demo import table

    print(table.render(findings), flush=True)
    problems = findings.problems()
    if options.check and problems:
        print("\n".join(f"holdfast demo: {problem}" for problem in problems), file=sys.stderr)
        return FAILED
    if problems:
        print("\n".join(["  The cache did not do its work:", *(f"  - {problem}" for problem in problems)]))
    else:
        print(table.conclusion(findings))
    if not options.serve:
        print("\nNext: --serve keeps both apps up for your browser; --url redis://localhost:6379/0 uses a real server.")
    return OK


def _wait(*skins: Skin) -> None:
    places = "\n".join(f"  {skin.address}  {skin.name}" for skin in skins)
    print(f"\nOpen in a browser, and press Ctrl-C to end:\n{places}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)


def _refuse(reason: str) -> int:
    print(f"holdfast demo: {reason}", file=sys.stderr)
    return NOT_STARTED


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            msg = f"{text} is less than {least}"
            raise argparse.ArgumentTypeError(msg)
        return value

    return number
