"""Web servers that run in a thread, on a free port of the loopback interface, for the time of a block."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from starlette.types import ASGIApp

_HOST: Final = "127.0.0.1"
_THREADS: Final = 8
"""Of the WSGI server; a few more than the driver and a browser keep busy."""
_PATIENCE: Final = 30.0
"""Seconds that a server may take to come up or to go down."""


@contextmanager
def serve_asgi(app: ASGIApp) -> Generator[str]:
    """Serve an ASGI app under uvicorn for the time of a block, and give its address."""
    import uvicorn

    listener = _listener()
    # A server outside the main thread leaves signals alone; Ctrl-C belongs to the command.
    config = uvicorn.Config(app, lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    port: int = listener.getsockname()[1]
    thread = _start("uvicorn", lambda: server.run(sockets=[listener]))
    try:
        _await_start(server, thread)
        yield f"http://{_HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)
        listener.close()


@contextmanager
def serve_wsgi(app: WSGIApplication) -> Generator[str]:
    """Serve a WSGI app under waitress for the time of a block, and give its address."""
    channels: dict[int, Any] = {}
    create_server: Any = import_module("waitress.server").create_server
    close_all: Any = import_module("waitress.wasyncore").close_all
    server = create_server(app, map=channels, host=_HOST, port=0, threads=_THREADS)
    thread = _start("waitress", server.run)
    try:
        yield f"http://{_HOST}:{server.effective_port}"
    finally:
        # Workers first, so that none writes to a channel that is closed; then the channels, in the thread that polls
        # them: its loop ends when there is none left.
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: close_all(channels))
        thread.join(_PATIENCE)


def _listener() -> socket.socket:
    # The protocol is named because asyncio turns Nagle's algorithm off only where it sees IPPROTO_TCP; left on, a head
    # and a body that are sent apart cost 40 ms a request.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((_HOST, 0))
    return listener


def _start(name: str, run: Callable[[], object]) -> threading.Thread:
    def work() -> None:
        with suppress(SystemExit):  # how uvicorn ends when it cannot start
            run()

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _await_start(server: Any, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            msg = "uvicorn did not start; its message is above"
            raise RuntimeError(msg)
        time.sleep(0.01)
