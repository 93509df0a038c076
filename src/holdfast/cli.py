"""The command line: ``python -m holdfast`` and ``holdfast``.

Each subcommand is a module with `add_parser`, which names the function that runs it; nothing else is known here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Final

from holdfast._version import __version__
from holdfast.demo import command as demo

_COMMANDS: Final = (demo,)
_USAGE: Final = 2
_INTERRUPTED: Final = 130
"""What a shell reports for a program that Ctrl-C ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the words after the program's name; by default those of this process.
    """
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed the help or what is wrong
        return stop.code if isinstance(stop.code, int) else _USAGE
    run: Callable[[argparse.Namespace], int] | None = arguments.run
    if run is None:
        parser.print_help(sys.stderr)
        return _USAGE
    try:
        return run(arguments)
    except KeyboardInterrupt:
        print("\nholdfast: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast", description="One Redis layer for every Python web app.")
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
