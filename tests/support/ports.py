"""Free ports on loopback.

They are taken below the range from which the kernel serves outgoing connections. A port inside that range can be
lost to somebody's connection while its server is down, and a client that knocks at it in vain can even be connected
to itself. Tests that run side by side in several processes take theirs from different parts of the range.
"""

from __future__ import annotations

import os
import socket
from random import SystemRandom

_PART = 2_750
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_LOWEST = 11_000 + _PART * _WORKER
_HIGHEST = _LOWEST + _PART
BUS = 10_000
"""A cluster node listens for its peers on its port plus this."""

_chance = SystemRandom()  # the tests' order is seeded; two runs at once must still take different ports
_taken: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on now, nor on the port of its cluster bus, and that was not given out yet.

    Somebody else may still take it before it is used: whoever starts a server on it has to try again with another.
    """
    for _ in range(1000):
        port = _chance.randrange(_LOWEST, _HIGHEST)
        if port not in _taken and _is_free(port) and _is_free(port + BUS):
            _taken.add(port)
            return port
    msg = f"no free port on 127.0.0.1 between {_LOWEST} and {_HIGHEST}"
    raise RuntimeError(msg)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
