"""Processes that say on standard output where they listen: started for a block, and ended."""

from __future__ import annotations

import select
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO


@contextmanager
def listening(
    words: Sequence[str], environment: Mapping[str, str] | None = None, patience: float = 30.0
) -> Generator[int, None, None]:
    """Run a process for the time of a block, and give the port that it says.

    Args:
        words: the command.
        environment: its environment; None is that of this process.
        patience: seconds that the start may take.

    Raises:
        RuntimeError: it said no port in time; with the last line that it wrote.
    """
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, env=environment) as process,
    ):
        try:
            yield _port(process, errors, patience)
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
    msg = f"no port was said: {lines[-1]}"
    raise RuntimeError(msg)
