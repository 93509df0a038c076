"""The demo as a newcomer starts it: a process of its own, with every warning an error."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.topologies import Servers

PYTHON = (sys.executable, "-W", "error", "-X", "dev", "-m", "holdfast")
_SLOW = r"Executing <.*> took [\d.]+ seconds"


def _complaints(stderr: str) -> str:
    """Return what a program wrote to stderr but for asyncio's notes about a slow machine, which -X dev brings."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not re.fullmatch(_SLOW, line.strip()))


@contextmanager
def _running(*words: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*PYTHON, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def _read_until(process: subprocess.Popen[str], mark: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if mark in line:
            return lines
    pytest.fail(f"no {mark!r} in the output:\n{''.join(lines)}")


def test_a_first_run_makes_the_database_and_a_second_one_uses_it(tmp_path: Path) -> None:
    """Both pass the check without a word on stderr, although every warning is an error."""
    words = (*PYTHON, "demo", "--check", "--folder", str(tmp_path), "--products", "60", "--orders", "500")
    first = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert (first.returncode, _complaints(first.stderr)) == (0, "")
    assert "Making a database" in first.stdout
    assert "[##############################] 100%  500 of 500" in first.stdout
    second = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert (second.returncode, _complaints(second.stderr)) == (0, "")
    assert "used again" in second.stdout


@pytest.mark.parametrize("where", ["embedded", "real"])
def test_serve_stays_up_until_ctrl_c_and_ends_cleanly(
    demo_words: tuple[str, ...], where: str, servers: Servers
) -> None:
    """Both addresses answer a browser; then exit code 0, and nothing on stderr."""
    words = [*demo_words, "--url", servers.standalone().url] if where == "real" else demo_words
    with _running(*words, "--serve") as process:
        _read_until(process, "press Ctrl-C to end")
        assert process.stdout is not None
        addresses = [process.stdout.readline().split()[0] for _ in range(2)]
        with httpx.Client(follow_redirects=True, timeout=30) as browser:
            for address, skin in zip(addresses, ("FastAPI", "Flask"), strict=True):
                assert f"served by {skin}" in browser.get(address).text
                assert browser.post(f"{address}/forget").url == f"{address}/"
                assert browser.get(f"{address}/stock").status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, _complaints(err)) == (0, "")
    assert "Stopped." in out


def test_ctrl_c_while_the_database_is_made_leaves_no_file(tmp_path: Path) -> None:
    """The exit code is 130, there is one line on stderr and no traceback, and the folder is empty."""
    with _running("demo", "--folder", str(tmp_path), "--orders", "2000000") as process:
        _read_until(process, "Making a database")
        _read_until(process, "products")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == "holdfast: interrupted"
    assert list(tmp_path.iterdir()) == []
