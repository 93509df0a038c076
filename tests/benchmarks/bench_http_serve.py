"""One server process of the benchmark: ``python bench_http_serve.py SERVER MODULE:BUILDER[:WORD...] REDIS_PORT``.

It serves what the builder makes on a free loopback port, with one worker, and says the port on standard output once it
listens. It imports nothing of the benchmark but the builder's module, so that it runs in a peer's own environment.
"""

from __future__ import annotations

import importlib
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

THREADS: Final = 8
"""Threads of a WSGI server."""


def serve_uvicorn(app: Any, listener: socket.socket) -> None:
    """Serve an ASGI app with uvicorn on asyncio's own loop; it parses with httptools where that is installed."""
    import uvicorn

    config = uvicorn.Config(app, loop="asyncio", http="auto", log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def serve_waitress(app: Any, listener: socket.socket) -> None:
    """Serve a WSGI app with waitress."""
    import waitress

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue is what a load is for
    # by default it holds 16 MiB back for each slow client, beside which nothing else could be weighed
    waitress.serve(app, sockets=[listener], threads=THREADS, outbuf_high_watermark=1 << 20)


SERVERS: Final[dict[str, Callable[[Any, socket.socket], None]]] = {
    "uvicorn": serve_uvicorn,
    "waitress": serve_waitress,
}


def main(server: str, builder: str, redis_port: str) -> None:
    """Build the app, listen, say where, and serve until the process is ended."""
    sys.path.insert(0, str(Path(__file__).parent))
    module, name, *further = builder.split(":")
    app = getattr(importlib.import_module(module), name)(int(redis_port), *further)
    # asyncio turns Nagle's algorithm off where a socket says that it is TCP's; as uvicorn's own ones do
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        print(listener.getsockname()[1], flush=True)
        SERVERS[server](app, listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
