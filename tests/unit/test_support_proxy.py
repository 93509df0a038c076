"""The proxy that misbehaves on command, in front of a real server: it must do exactly what the other tests rely on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.proxy import Proxy
from support.standalone import Standalone
from support.topologies import Servers
from support.waiting import until

PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"


@pytest.fixture
def server(servers: Servers) -> Standalone:
    return servers.standalone()


@pytest.fixture
def proxy(server: Standalone) -> Iterator[Proxy]:
    with Proxy(server.address) as made:
        yield made


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    """Open a connection through the proxy, with patience for reading."""
    with socket.create_connection(proxy.address, 30) as client:
        yield client


def ping(client: socket.socket) -> bytes:
    """Send a PING and return the reply, or as much of it as there is before the end."""
    client.sendall(PING)
    return read(client, len(PONG))


def read(client: socket.socket, size: int) -> bytes:
    """Read so many bytes, fewer only if the connection ends."""
    found = b""
    while len(found) < size and (more := client.recv(size - len(found))):
        found += more
    return found


def command(*words: str) -> bytes:
    """Return a command as it goes over the wire."""
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)])


def test_it_passes_bytes_both_ways_and_counts_them(proxy: Proxy) -> None:
    """Without orders it is a wire: replies come back, and connections and bytes are counted."""
    with connected(proxy) as one, connected(proxy) as other:
        assert ping(one) == ping(other) == PONG
        assert (proxy.opened, proxy.open_now) == (2, 2)
        assert (proxy.bytes_up, proxy.bytes_down) == (2 * len(PING), 2 * len(PONG))
        assert (proxy.held_up, proxy.held_down, proxy.swallowed) == (0, 0, 0)
    proxy.wait_for(lambda p: p.open_now == 0)
    assert proxy.opened == 2


def test_large_payloads_arrive_whole(proxy: Proxy, namespace: str) -> None:
    """Megabytes pass in both directions, byte for byte."""
    payload = bytes(range(256)) * 16384
    with connected(proxy) as client:
        client.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n" % (len(namespace), namespace.encode()))
        client.sendall(b"$%d\r\n%s\r\n" % (len(payload), payload))
        assert read(client, 5) == b"+OK\r\n"
        client.sendall(command("GETDEL", namespace))
        head = b"$%d\r\n" % len(payload)
        assert read(client, len(head) + len(payload)) == head + payload


def test_requests_of_a_client_that_closes_at_once_are_passed_on(
    proxy: Proxy, server: Standalone, namespace: str
) -> None:
    """Closing right after sending loses nothing, not even what is held and more than the sockets take at once."""
    value = "sent" * 2_000_000
    with connected(proxy) as client:
        proxy.hold_requests()
        client.sendall(command("SET", namespace, value, "EX", "60"))
    proxy.wait_for(lambda p: p.open_now == 0)
    proxy.release()
    until(lambda: server.client.strlen(namespace) == len(value), "the command is executed")


def test_delayed_replies_come_late_but_not_later_and_later(proxy: Proxy) -> None:
    """Each reply is late by the delay; many in flight are late together, not one after the other."""
    with connected(proxy) as client:
        proxy.delay(0.2)
        start = time.monotonic()
        for number in range(20):
            client.sendall(PING)
            proxy.wait_for(lambda p, sent=number + 1: p.held_down + p.bytes_down == sent * len(PONG))
        assert read(client, 20 * len(PONG)) == 20 * PONG
        assert 0.2 <= time.monotonic() - start < 3
        proxy.delay(60)
        proxy.delay(0)
        assert ping(client) == PONG


def test_held_replies_wait_while_the_command_is_executed(proxy: Proxy, server: Standalone, namespace: str) -> None:
    """The server has done its work and the client does not know: until `release`."""
    with connected(proxy) as client:
        proxy.hold_replies()
        client.sendall(command("SET", namespace, "done", "EX", "60"))
        proxy.wait_for(lambda p: p.held_down == 5)
        assert server.client.get(namespace) == b"done"
        client.settimeout(0.02)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(30)
        proxy.release()
        assert read(client, 5) == b"+OK\r\n"
        assert ping(client) == PONG


def test_held_requests_do_not_reach_the_server(proxy: Proxy, server: Standalone, namespace: str) -> None:
    """The client has sent and the server has not seen it: until `release`."""
    with connected(proxy) as client:
        assert ping(client) == PONG
        proxy.hold_requests()
        sent = command("SET", namespace, "late", "EX", "60")
        client.sendall(sent)
        proxy.wait_for(lambda p: p.held_up == len(sent))
        assert server.client.get(namespace) is None
        proxy.release()
        assert read(client, 5) == b"+OK\r\n"
        assert server.client.get(namespace) == b"late"


def test_a_black_hole_accepts_and_forwards_nothing(proxy: Proxy, server: Standalone, namespace: str) -> None:
    """Old and new connections stay open, nothing passes either way, and what fell in stays in."""
    with connected(proxy) as old, connected(proxy) as untouched:
        assert ping(old) == ping(untouched) == PONG
        proxy.black_hole()
        with connected(proxy) as new:
            for client in (old, new):
                client.sendall(command("SET", namespace, "x", "EX", "60"))
            proxy.wait_for(lambda p: p.swallowed > 2 * len(namespace))
            until(lambda: proxy.held_up == 0, "all has fallen in")
            new.settimeout(0.02)
            with pytest.raises(TimeoutError):
                new.recv(1)
            assert proxy.open_now == 3
            proxy.restore()
            new.settimeout(30)
            for client in (old, new):
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
        assert ping(untouched) == PONG
        assert server.client.get(namespace) is None


@pytest.mark.parametrize("size", [0, 1, 3, 6])
def test_a_cut_delivers_exactly_so_many_bytes_and_resets(proxy: Proxy, size: int) -> None:
    """The client gets the start of its reply, then a reset; the next connection is served in full."""
    with connected(proxy) as client:
        proxy.cut_after(size)
        client.sendall(PING)
        assert read(client, size) == PONG[:size]
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connected(proxy) as client:
        assert ping(client) == PONG


def test_a_cut_can_close_in_good_order(proxy: Proxy) -> None:
    """Without a reset the client sees the end of the stream."""
    with connected(proxy) as client:
        proxy.cut_after(4, reset=False)
        assert ping(client) == PONG[:4]


def test_a_cut_in_the_next_reply_leaves_the_others_alone(proxy: Proxy) -> None:
    """The order falls on the connection that gets the bytes, and only on it."""
    with connected(proxy) as one, connected(proxy) as other:
        proxy.cut_after(len(PONG) + 2)
        assert ping(one) == PONG
        one.sendall(PING)
        assert read(one, 2) == PONG[:2]
        with pytest.raises(ConnectionResetError):
            one.recv(1)
        assert ping(other) == PONG


def test_cut_all_resets_every_open_connection(proxy: Proxy) -> None:
    """Everybody is cut off, and may come again."""
    with connected(proxy) as one, connected(proxy) as other:
        assert ping(one) == ping(other) == PONG
        proxy.cut_all()
        for client in (one, other):
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    proxy.wait_for(lambda p: p.open_now == 0)
    with connected(proxy) as client:
        assert ping(client) == PONG


def test_refusing_leaves_open_connections_alone(proxy: Proxy) -> None:
    """New connections are refused, old ones work; after `accept` the same port serves again."""
    with connected(proxy) as old:
        assert ping(old) == PONG
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(proxy.address, 30)
        assert ping(old) == PONG
        proxy.accept()
        with connected(proxy) as new:
            assert ping(new) == PONG


def test_a_client_of_a_dead_server_is_reset(server: Standalone) -> None:
    """Where the server is down the proxy accepts, and then resets."""
    with Standalone(server.program) as mortal, Proxy(mortal.address) as proxy:
        with connected(proxy) as client:
            assert ping(client) == PONG
            mortal.kill()
            assert read(client, 1) == b""
        with pytest.raises(ConnectionResetError), connected(proxy) as client:
            client.recv(1)
        mortal.start()
        with connected(proxy) as client:
            assert ping(client) == PONG


def test_waiting_in_vain_says_what_was_seen(proxy: Proxy) -> None:
    """The error shows the counters."""
    with pytest.raises(TimeoutError, match="opened=0"):
        proxy.wait_for(lambda p: p.opened, within=0.02)


def test_it_leaves_neither_thread_nor_port_behind(server: Standalone) -> None:
    """After its block its thread has ended and its port is free, even with connections open and replies held."""
    with Proxy(server.address) as proxy:
        client = socket.create_connection(proxy.address, 30)
        proxy.hold_replies()
        client.sendall(PING)
        proxy.wait_for(lambda p: p.held_down > 0)
    assert not proxy._thread.is_alive()
    with client, pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxy.address, 30)
