"""Opening connections.

redis-py does it: TCP, TLS, unix sockets, AUTH, HELLO, SELECT and credential providers are its code. Once a connection
is open, our own wires read and write it (see `wire.py` and `multiplex.py` for why).

`_sock` and `_writer` are the two private names of redis-py that we touch; they are the same from 5.2 to 8, and the
tests run at both ends.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, cast

import hiredis
import redis
import redis.asyncio as aioredis
from redis.asyncio.connection import SSLConnection as AsyncSSLConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from holdfast.backend.failures import connect_failure
from holdfast.backend.url import Address, Topology

INCOMPLETE: Any = object()
"""What a reader gives while a reply is not complete; its own default, False, could be a reply."""

_TIMEVAL = struct.Struct("@ll")


def new_reader() -> hiredis.Reader:
    """Return a parser of replies. Error replies come out as values, undecoded text as bytes."""
    return hiredis.Reader(notEnoughData=INCOMPLETE)


def pack(words: tuple[Any, ...]) -> bytes:
    """Return a command as it goes over the wire."""
    return cast("bytes", hiredis.pack_command(words))


def open_blocking(topology: Topology, address: Address | None) -> tuple[Any, socket.socket]:
    """Connect; return redis-py's connection, which must be kept alive, and its socket.

    Raises:
        WireBroken: the server could not be reached.
        BackendError: it was reached and refused us.
    """
    kwargs: dict[str, Any] = {**topology.connection, "retry": Retry(NoBackoff(), 0)}
    connection: Any
    if topology.kind == "unix":
        connection = UnixDomainSocketConnection(path=topology.name, **kwargs)
    else:
        host, port = cast("Address", address)
        connection = (SSLConnection if topology.tls else redis.Connection)(host=host, port=port, **kwargs)
    try:
        connection.connect()
    except (redis.RedisError, OSError) as error:
        raise connect_failure(error) from error
    return connection, connection._sock  # noqa: SLF001 - see the module's docstring


async def open_asyncio(topology: Topology, address: Address | None) -> tuple[Any, asyncio.StreamWriter]:
    """Connect on the running loop; return redis-py's connection and its stream writer, both to be kept alive.

    Raises:
        WireBroken: the server could not be reached.
        BackendError: it was reached and refused us.
    """
    kwargs: dict[str, Any] = {**topology.connection, "retry": AsyncRetry(NoBackoff(), 0)}
    connection: Any
    if topology.kind == "unix":
        connection = aioredis.UnixDomainSocketConnection(path=topology.name, **kwargs)
    else:
        host, port = cast("Address", address)
        connection = (AsyncSSLConnection if topology.tls else aioredis.Connection)(host=host, port=port, **kwargs)
    try:
        await connection.connect()
    except asyncio.CancelledError:
        _drop(connection)
        raise
    except (redis.RedisError, OSError) as error:
        _drop(connection)
        raise connect_failure(error) from error
    return connection, _take_writer(connection)


def _take_writer(connection: Any) -> asyncio.StreamWriter:
    """Take the stream from redis-py's connection, so that its finalizer does not complain about it."""
    writer = connection._writer  # noqa: SLF001 - see the module's docstring
    connection._writer = connection._reader = None  # noqa: SLF001
    return cast("asyncio.StreamWriter", writer)


def _drop(connection: Any) -> None:
    if connection._writer is not None:  # noqa: SLF001
        _take_writer(connection).transport.abort()


def wait_in_kernel(sock: socket.socket, seconds: float) -> None:
    """Let the kernel keep the time-outs of a plain socket.

    Python polls before every send and recv of a socket with a time-out of its own: two system calls more a command.
    """
    sock.settimeout(None)
    whole = int(seconds)
    value = _TIMEVAL.pack(whole, int((seconds - whole) * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
