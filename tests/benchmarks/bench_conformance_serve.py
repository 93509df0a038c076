"""One proxy of the conformance run: ``python bench_conformance_serve.py SIDE ORIGIN_PORT REDIS_PORT OPTIONS``.

It serves on a free loopback port, with one worker, and says the port on standard output once it listens. `OPTIONS` are
those of the middleware, as JSON. The servers add no field of their own where they can be told so.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final


def serve_asgi(app: Any, listener: socket.socket) -> None:
    """Serve an ASGI app with uvicorn."""
    import uvicorn

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="httptools",
        log_level="critical",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=120,
    )
    uvicorn.Server(config).run(sockets=[listener])


def serve_wsgi(app: Any, listener: socket.socket) -> None:
    """Serve a WSGI app with waitress."""
    import waitress

    logging.getLogger("waitress").setLevel(logging.CRITICAL)  # the suite lets the app raise, and asks much at once
    waitress.serve(app, sockets=[listener], threads=16, ident=None)


SERVERS: Final[dict[str, Callable[[Any, socket.socket], None]]] = {"ASGI": serve_asgi, "WSGI": serve_wsgi}


def main(side: str, origin: str, redis: str, options: str) -> None:
    """Build the app, listen, say where, and serve until the process is ended."""
    sys.path.insert(0, str(Path(__file__).parent))
    import bench_conformance_asgi
    import bench_conformance_wsgi

    build = {"ASGI": bench_conformance_asgi.build, "WSGI": bench_conformance_wsgi.build}[side]
    app = build(int(origin), int(redis), json.loads(options))
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        print(listener.getsockname()[1], flush=True)
        SERVERS[side](app, listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
