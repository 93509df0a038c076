"""The life of one Redis process, whatever it serves: started until it answers, stopped, killed, paused, gone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.ports import free_port
from support.process import Process
from support.programs import Program
from support.waiting import until

HOST = "127.0.0.1"
_ATTEMPTS = 20
"""How often to try a start whose port somebody else has taken."""


def plain_client(url: str, timeout: float = 30.0, **options: Any) -> redis.Redis:
    """Return a client that does what it is told, once: bytes, RESP2, no retry, `timeout` seconds for a reply."""
    return redis.Redis.from_url(url, protocol=2, socket_timeout=timeout, retry=Retry(NoBackoff(), 0), **options)


class ServerFailed(Exception):  # noqa: N818 - says what happened
    """A server did not start; the message ends with what it wrote."""


class Server:
    """Base of the servers. Use one as a context manager, or call `start` and `close`.

    Its port is chosen at the first start and stays for its whole life, through every restart. A subclass says with
    which words the program is started.
    """

    host = HOST

    def __init__(self, program: Program, name: str, password: str = "") -> None:
        self.program = program
        self.password = password
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
        self.process = Process(f"{program.name} {name}", self.folder / "log")
        self.port = 0
        self._client: redis.Redis | None = None
        self._settled = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, empty, and return when it answers."""
        for _ in range(_ATTEMPTS):
            if not self._settled:
                self._take_ports()
            self.process.start(self._words())
            until(lambda: self._answers() or not self.process.running, f"{self.process.name} answers or ends")
            if self.process.running:
                self._settled = True
                return
            if "already in use" not in self.process.written():
                break
        msg = f"{self.process.name} did not start on port {self.port}:\n{self.process.written()}"
        raise ServerFailed(msg)

    def stop(self) -> None:
        """End the server in good order; harmless if it does not run."""
        self.process.terminate()
        self._disconnect()

    def kill(self) -> None:
        """End the server at once, as ``kill -9`` does; harmless if it does not run."""
        self.process.kill()
        self._disconnect()

    def restart(self) -> None:
        """Kill the server if it runs, and start it, empty, on the same port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze the server: the kernel accepts connections for it, and nothing answers until `resume`."""
        self.process.pause()

    def resume(self) -> None:
        """Let a frozen server go on."""
        self.process.resume()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the server for the time of a block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def close(self) -> None:
        """End the server and remove its folder."""
        self.process.kill()
        self._forget_client()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        """Say whether the process runs; a paused one does."""
        return self.process.running

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        return self.host, self.port

    @property
    def client(self) -> redis.Redis:
        """Return a plain client for assertions, with none of our code in it."""
        if self._client is None:
            self._client = plain_client(f"redis://{self.host}:{self.port}", password=self.password or None)
        return self._client

    def ask(self, *words: str | bytes | int) -> object:
        """Send one command and return its reply.

        redis-py knows replies by the first word, so ``ask("CLUSTER", "INFO")`` gives what the server sent.
        """
        return self.client.execute_command(*words)

    def _words(self) -> list[str]:
        raise NotImplementedError

    def _take_ports(self) -> None:
        self._forget_client()
        self.port = free_port()

    def _answers(self) -> bool:
        # Only the process id proves that it is ours: somebody else may have taken the port a moment ago.
        try:
            return self.client.info("server").get("process_id") == self.process.pid
        except (redis.RedisError, RuntimeError):
            return False

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.connection_pool.disconnect()

    def _forget_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
