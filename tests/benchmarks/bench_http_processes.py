"""Server processes: started, asked for their processor time and memory, and ended. Linux alone tells these."""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_SERVE: Final = Path(__file__).with_name("bench_http_serve.py")
_CPU_CLOCK: Final = 2
"""What the C library adds to a process's number to name the clock of the processor time of all its threads."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server process that listens."""

    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, user and system, all threads."""
        return time.clock_gettime(((~self.process.pid) << 3) | _CPU_CLOCK)

    def memory(self, line: str = "VmRSS") -> int:
        """Return the bytes in memory now, or with ``VmHWM`` the most there were since `forget_peak`."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition(f"{line}:")[2].split()[0]) * 1024

    def forget_peak(self) -> None:
        """Let the peak begin anew at what is in memory now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@contextmanager
def serving(
    server: str, builder: str, redis_port: int, python: str = sys.executable, patience: float = 30.0
) -> Iterator[Served]:
    """Run one server process for the time of a block.

    Args:
        server: a name in `bench_http_serve.SERVERS`.
        builder: module and function that make the app.
        redis_port: where the benchmark's Redis listens.
        python: the interpreter of the environment in which the contender is installed.
        patience: seconds that the start may take.

    Raises:
        RuntimeError: it did not listen in time; with the last line that it wrote.
    """
    words = [python, str(_SERVE), server, builder, str(redis_port)]
    with tempfile.TemporaryFile() as errors, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors) as process:
        try:
            yield Served(_port(process, errors, patience), process)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _port(process: subprocess.Popen[bytes], errors: IO[bytes], patience: float) -> int:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], patience)
    word = process.stdout.readline() if ready else b""
    if word.strip().isdigit():
        return int(word)
    process.kill()
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines() or ["it wrote nothing"]
    msg = f"the server did not start: {lines[-1]}"
    raise RuntimeError(msg)
