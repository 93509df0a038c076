"""A program that runs beside the tests: started, paused, killed and ended by its own process id."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from functools import cache
from pathlib import Path

_MERCY = 15.0
"""Seconds that a program gets to end when asked, before it is killed."""

living: set[Process] = set()
"""The programs that run now; a failed test shows what they wrote."""


class Process:
    """One program, which can be started again after it ended. What it writes goes to one file."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._popen: subprocess.Popen[bytes] | None = None
        self._start_of_log = 0

    @property
    def pid(self) -> int:
        """Return the process id of the running program."""
        if self._popen is None or not self.running:
            msg = f"{self.name} does not run"
            raise RuntimeError(msg)
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Say whether the program was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def start(self, words: list[str]) -> None:
        """Start the program with these words as its command line."""
        if self.running:
            msg = f"{self.name} runs already"
            raise RuntimeError(msg)
        self._start_of_log = self.size_of_log
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(_guard() + words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        living.add(self)

    def terminate(self) -> None:
        """Ask the program to end, and wait until it has; harmless if it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the program without a chance to say goodbye, as ``kill -9`` does; harmless if it has ended."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the program in its tracks: its sockets stay open, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        # A signal is delivered some time; wait until the process has stopped.
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            msg = f"{self.name} ended instead of pausing:\n{self.written()}"
            raise RuntimeError(msg)

    def resume(self) -> None:
        """Let a paused program go on."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def size_of_log(self) -> int:
        """Return how many bytes the program has written in all its lives."""
        return self.log.stat().st_size if self.log.exists() else 0

    def written(self, since: int | None = None, lines: int = 30) -> str:
        """Return the last lines that the program wrote since a size of its log; if None, since its last start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._start_of_log if since is None else since)
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _end(self, how: signal.Signals) -> None:
        living.discard(self)
        if self._popen is None or not self.running:
            return
        self._popen.send_signal(how)
        self._popen.send_signal(signal.SIGCONT)  # a paused program would not see the request
        try:
            self._popen.wait(_MERCY)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(_MERCY)


def _guard() -> list[str]:
    """Return words that make a program die with the tests even if those are killed, where the system knows such.

    The program dies with the thread that started it, so only those of the main thread are guarded.
    """
    return _setpriv() if threading.current_thread() is threading.main_thread() else []


@cache
def _setpriv() -> list[str]:
    words = [shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL"]
    with contextlib.suppress(OSError):
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
            return words
    return []


@atexit.register
def _end_all() -> None:
    for process in tuple(living):
        process.kill()
