"""A primary, its replica and three Sentinels of the tests' own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final, Self

import redis

from support.programs import Program
from support.server import HOST, Server
from support.standalone import Standalone
from support.waiting import until

_NOT_YET: Final = (redis.RedisError,)


class SentinelNode(Server):
    """One Sentinel that watches a service. It keeps what it learned in its file, through every restart."""

    def __init__(self, program: Program, name: str, service: str, primary: Standalone, down_after: int) -> None:
        super().__init__(program, name)
        self._file = self.folder / "sentinel.conf"
        self._service = service
        self._settings = [
            f"sentinel monitor {service} {HOST} {primary.port} 2",
            f"sentinel down-after-milliseconds {service} {down_after}",
            f"sentinel failover-timeout {service} {2 * down_after}",
            f"sentinel parallel-syncs {service} 1",
        ]
        if primary.password:
            self._settings.append(f"sentinel auth-pass {service} {primary.password}")

    def about(self, what: str) -> list[dict[str, str]]:
        """Return what it knows about the ``MASTER``, ``REPLICAS`` or ``SENTINELS`` of the service."""
        reply = self.ask("SENTINEL", what, self._service)
        assert isinstance(reply, list)
        rows = [reply] if what == "MASTER" else reply
        texts = [[word.decode() for word in row] for row in rows]
        return [dict(zip(row[::2], row[1::2], strict=True)) for row in texts]

    def primary_port(self) -> int:
        """Return the port at which it says that the primary is."""
        reply = self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        assert isinstance(reply, list)
        return int(reply[1])

    def _words(self) -> list[str]:
        if not self._settled:
            lines = [f"port {self.port}", f"bind {self.host}", f"dir {self.folder}", *self._settings]
            self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [str(self.program.path), str(self._file), "--sentinel"]


class Sentinel:
    """A service that three Sentinels watch. Use it as a context manager.

    Args:
        program: which redis-server; it also runs as the Sentinels.
        down_after: milliseconds of silence after which a server counts as down. A Sentinel connects to a server at
            most once a second, so with less than that it takes every new primary for dead. Keep it long where nobody
            fails on purpose, so that a machine under load does not look like a failure.
        password: what clients of the primary and the replica must authenticate with.
    """

    service = "mymaster"

    def __init__(self, program: Program, *, down_after: int = 1500, password: str = "") -> None:
        self.primary = Standalone(program, name="primary", password=password, options=_QUICK)
        """The server that is the primary now, as far as the helpers below know."""
        self.replica = Standalone(program, name="replica", password=password, options=_QUICK)
        """The other one."""
        self.nodes = (self.primary, self.replica)
        self.sentinels: tuple[SentinelNode, ...] = ()
        self._program = program
        self._down_after = down_after

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.close)
            for node in self.nodes:
                node.start()
            self.replica.ask("REPLICAOF", HOST, self.primary.port)
            self._await_replica()
            self.sentinels = tuple(
                stack.enter_context(
                    SentinelNode(self._program, f"sentinel {each}", self.service, self.primary, self._down_after)
                )
                for each in range(3)
            )
            self.await_calm()
            self._servers = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    @property
    def url(self) -> str:
        """Return the URL of the service's database 0."""
        password = f":{self.primary.password}@" if self.primary.password else ""
        places = ",".join(f"{each.host}:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{password}{places}/{self.service}/0"

    def failover(self) -> None:
        """Ask a Sentinel for a failover, and return when the new primary is one and all Sentinels name it.

        The old primary lives on and takes writes, until the Sentinels turn it into a replica some seconds later, or
        `rejoin` does.
        """
        first = self.sentinels[0]
        until(lambda: first.ask("SENTINEL", "FAILOVER", self.service), "a failover starts", ignoring=_NOT_YET)
        self._await_promotion()

    def kill_primary(self) -> None:
        """Kill the primary, and return when the replica has taken its place and all Sentinels name it."""
        self.primary.kill()
        self._await_promotion()

    def rejoin(self) -> None:
        """Make the old primary a replica of the new one, starting it if it is dead, and return when it follows."""
        if not self.replica.running:
            self.replica.start()
        self.replica.ask("REPLICAOF", HOST, self.primary.port)
        self._await_replica()
        self.await_calm()

    def await_calm(self) -> None:
        """Return when all Sentinels know each other and see a healthy primary and a replica fit to take over."""
        until(lambda: all(map(self._is_calm, self.sentinels)), "all sentinels are calm", ignoring=_NOT_YET)

    def _await_promotion(self) -> None:
        old, new = self.primary, self.replica
        until(lambda: new.client.info("replication")["role"] == "master", "the replica is promoted", ignoring=_NOT_YET)
        self.primary, self.replica = new, old
        alive = [each for each in self.sentinels if each.running]
        until(lambda: all(each.primary_port() == new.port for each in alive), "all sentinels agree", ignoring=_NOT_YET)

    def _await_replica(self) -> None:
        def follows() -> bool:
            found = self.replica.client.info("replication")
            return found.get("master_link_status") == "up" and found.get("master_port") == self.primary.port

        until(follows, "the replica follows the primary", ignoring=_NOT_YET)

    def _is_calm(self, sentinel: SentinelNode) -> bool:
        (primary,) = sentinel.about("MASTER")
        replicas = {int(each["port"]): each for each in sentinel.about("REPLICAS")}
        replica = replicas.get(self.replica.port, {"flags": "unknown", "info-refresh": "0"})
        return (
            int(primary["port"]) == self.primary.port
            and primary["flags"] == "master"
            and primary["num-other-sentinels"] == "2"
            and replica["flags"] == "slave"
            # It has answered INFO at least once: without that a Sentinel does not promote it.
            and 0 < int(replica["info-refresh"]) < _AN_HOUR
        )


_AN_HOUR: Final = 3_600_000
_QUICK: Final = {"repl-diskless-sync-delay": "0", "repl-timeout": "5"}
"""Do not gather replicas before a synchronisation, and notice a lost primary soon."""
