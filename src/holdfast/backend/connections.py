"""Opening connections.

redis-py does it: TCP, TLS, unix sockets, AUTH, HELLO, SELECT and credential providers are its code. Once a connection
is open, our own wires read and write it (see `wire.py` and `multiplex.py` for why).

`_sock`, `_writer` and `_reader` are the private names of redis-py that we touch; they are the same from 5.2 to 8, and
the tests run at both ends.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401  # pyright: ignore[reportUnusedImport] - see open_blocking
import select
import socket
import struct
from collections.abc import Callable
from functools import partial
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
from holdfast.backend.topology import Address, Topology
from holdfast.commands import Command, Word
from holdfast.errors import ConfigurationError

INCOMPLETE: Any = object()
"""What a reader gives while a reply is not complete; its own default, False, could be a reply."""

# Its stub does not say what comes back.
_pack = cast("Callable[[tuple[Word, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


def pack(words: tuple[Word, ...]) -> bytes:
    """Return a command as it goes over the wire.

    Numbers become text here: hiredis, when a signal arrives while it does that, and its handler raises, as Ctrl-C does,
    ends the whole process.
    """
    for word in words:
        if type(word) is int:
            return _pack(tuple([str(each) if type(each) is int else each for each in words]))
    return _pack(words)


def pack_command(command: Command) -> bytes:
    """Return a command as it goes over the wire; of one that is sent again and again that is worked out once."""
    kept = command.packed
    if kept is None:
        return pack(command.words)
    if not kept:
        kept.append(pack(command.words))
    return kept[0]


_TIMEVAL = struct.Struct("@ll")


def new_reader() -> Any:
    """Return a parser of replies. Error replies come out as values, undecoded text as bytes.

    Any, since hiredis' own annotations do not allow the memoryview that its `feed` accepts.
    """
    return hiredis.Reader(notEnoughData=INCOMPLETE)


def open_blocking(topology: Topology, address: Address | None) -> tuple[Any, socket.socket]:
    """Connect; return redis-py's connection, which must be kept alive, and its socket.

    The look-up of the host name needs `encodings.idna`. It is imported with this module: were it imported here, a fork
    of another thread meanwhile would leave the child a lock that nobody opens.

    Raises:
        WireBroken: the server could not be reached.
        BackendError: it was reached and refused us.
    """
    connection = _blocking_connection(topology, address)
    try:
        connection.connect()
    except BaseException as error:
        connection.disconnect()
        if isinstance(error, Exception):
            raise connect_failure(error) from error
        raise
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
    except BaseException as error:
        _drop(connection)
        if isinstance(error, Exception):
            raise connect_failure(error) from error
        raise
    return connection, _take_writer(connection)


def check_options(topology: Topology) -> None:
    """Make a connection object and throw it away, so that a wrong option is told when the layer is made.

    Raises:
        ConfigurationError: redis-py does not know an option, or refuses its value.
    """
    try:
        _blocking_connection(topology, ("localhost", 0))
    except (TypeError, ValueError, redis.RedisError) as error:
        why = str(error) if isinstance(error, TypeError) else type(error).__name__
        msg = f"redis-py refuses one of the options {', '.join(sorted(topology.connection))}: {why}"
        raise ConfigurationError(msg) from error


def _blocking_connection(topology: Topology, address: Address | None) -> Any:
    kwargs: dict[str, Any] = {**topology.connection, "retry": Retry(NoBackoff(), 0)}
    if topology.kind == "unix":
        kind: Any = UnixDomainSocketConnection  # Any: its annotations make it abstract
        return kind(path=topology.name, **kwargs)
    host, port = cast("Address", address)
    return (SSLConnection if topology.tls else redis.Connection)(host=host, port=port, **kwargs)


def _take_writer(connection: Any) -> asyncio.StreamWriter:
    """Take the stream from redis-py's connection, so that its finalizer does not complain about it."""
    writer = connection._writer  # noqa: SLF001 - see the module's docstring
    connection._writer = connection._reader = None  # noqa: SLF001
    return cast("asyncio.StreamWriter", writer)


def _drop(connection: Any) -> None:
    if connection._writer is not None:  # noqa: SLF001
        writer = _take_writer(connection)  # kept until it is closed, or it would complain
        writer.transport.abort()


def wait_in_kernel(sock: socket.socket, seconds: float) -> None:
    """Let the kernel keep the time-outs of a plain socket.

    Python polls before every send and recv of a socket with a time-out of its own: two system calls more a command.
    """
    sock.settimeout(None)
    receive_within(sock, seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))


def receive_within(sock: socket.socket, seconds: float) -> None:
    """Change the time-out of recv where the kernel keeps it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))


def _timeval(seconds: float) -> bytes:
    whole, rest = divmod(max(1, int(seconds * 1_000_000)), 1_000_000)  # all zeros would mean: for ever
    return _TIMEVAL.pack(whole, rest)


def has_arrived(sock: Any) -> bool:
    """Say whether something can be read from a socket: data, or the end of the stream."""
    return bool(watch(sock)())


def watch(sock: Any) -> Callable[[], object]:
    """Return what says of a socket, again and again, whether something can be read from it.

    To make this once for a connection saves half of the time of looking.
    """
    if not hasattr(select, "poll"):
        return lambda: sock.fileno() < 0 or select.select([sock], [], [], 0)[0]
    if sock.fileno() < 0:
        return lambda: True
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)
    return partial(poll.poll, 0)
