"""Short programs that tests run in a process of their own, with every warning an error that is seen."""

from __future__ import annotations

import subprocess
import sys
import textwrap

HEAD = """
import asyncio, os, sys, threading, time, gc
from holdfast.backend.backend import Backend
from holdfast._calls import drive
from holdfast import commands
from holdfast.commands import Command, get, put
url = sys.argv[1]
"""


def run(program: str, url: str) -> str:
    """Run a program under ``-X dev -W error`` and return what it printed.

    It must end well and say nothing on stderr: no warning, nothing ignored, nothing logged.
    """
    return ended(begun(program, url, dev=True))


def begun(program: str, *words: str, dev: bool = False) -> subprocess.Popen[str]:
    """Start a program with the words that it gets, the URL first; `dev` makes it slower, and stricter."""
    # In development mode asyncio logs slow steps, which a loaded machine has; they say nothing about connections.
    quiet = "import logging; logging.getLogger('asyncio').setLevel(logging.CRITICAL)\n"
    fork = "import warnings; warnings.filterwarnings('ignore', message='.*multi-threaded.*fork')\n"
    text = f"{quiet}{fork}{HEAD}{textwrap.dedent(program)}"
    mode = ["-X", "dev"] if dev else []
    return subprocess.Popen(
        [sys.executable, *mode, "-W", "error", "-c", text, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """Wait until a program has ended well, without a word on stderr, and return what it printed."""
    with process:
        try:
            printed, complaints = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert complaints == "", complaints
    assert process.returncode == 0
    return printed
