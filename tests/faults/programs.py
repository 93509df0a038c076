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
    # In development mode asyncio logs slow steps, which a loaded machine has; they say nothing about connections.
    quiet = "import logging; logging.getLogger('asyncio').setLevel(logging.CRITICAL)\n"
    fork = "import warnings; warnings.filterwarnings('ignore', message='.*multi-threaded.*fork')\n"
    text = f"{quiet}{fork}{HEAD}{textwrap.dedent(program)}"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", text, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "", done.stderr
    assert done.returncode == 0
    return done.stdout
