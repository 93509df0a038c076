"""The places that a contract is tested on, and the servers that all tests share.

Shared servers are started when the first test asks for one and end with the run. Nobody may stop, pause, flush or
reconfigure them: tests that do make a server of their own, which takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import uuid4

from support.cluster import Cluster
from support.programs import Program, oldest, programs
from support.recording import Recording, recorded
from support.sentinel import Sentinel
from support.standalone import Standalone

S = TypeVar("S", Standalone, Cluster, Sentinel)

SERVED: Final = (*(program.name for program in programs()), "cluster", "sentinel")
"""The topologies with real servers."""
ALL: Final = ("memory", *SERVED)
"""The names of all topologies, as they stand in the ids of tests."""


@dataclass(frozen=True, slots=True)
class Topology:
    """A place for one test to work in."""

    name: str
    url: str
    nodes: tuple[Standalone, ...] = ()
    """The servers that hold keys; none for the embedded backend."""

    @property
    def is_memory(self) -> bool:
        """Say whether it is the embedded backend, which no plain client can look into."""
        return not self.nodes

    def monitor(self, containing: str) -> AbstractContextManager[Recording]:
        """Record what the servers are asked during a block, with a word that contains some text: the namespace."""
        self._need_servers()
        return recorded([node.client for node in self.nodes], containing)

    def ttls(self, namespace: str) -> dict[str, float]:
        """Return the keys of a namespace and the seconds that each has left; -1 for one that never expires."""
        self._need_servers()
        found = {}
        for node in self.nodes:
            for key in node.client.scan_iter(match=f"{namespace}*", count=1000):
                left = int(node.client.pttl(key))
                found[key.decode()] = left / 1000 if left >= 0 else float(left)
        return found

    def _need_servers(self) -> None:
        if not self.nodes:
            msg = "the embedded backend cannot be watched from outside: use the fixture server_topology"
            raise RuntimeError(msg)


class Servers:
    """The servers that all tests share, each started when it is first asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._started: dict[str, Standalone | Cluster | Sentinel] = {}

    def standalone(self, program: Program | None = None) -> Standalone:
        """Return a single server; of the oldest program, unless another is named."""
        program = program or oldest()
        return self._once(program.name, lambda: Standalone(program, name="shared"), Standalone)

    def cluster(self) -> Cluster:
        """Return a cluster of three primaries."""
        return self._once("cluster", lambda: Cluster(oldest()), Cluster)

    def sentinel(self) -> Sentinel:
        """Return a primary with a replica and three Sentinels."""
        return self._once("sentinel", lambda: Sentinel(oldest(), down_after=15_000), Sentinel)

    def topology(self, name: str) -> Topology:
        """Return the topology with one of the names in `ALL`. The embedded one is a new one each time."""
        if name == "memory":
            return Topology(name, f"memory://{uuid4().hex}")
        if name == "cluster":
            cluster = self.cluster()
            return Topology(name, cluster.url, tuple(cluster.primaries))
        if name == "sentinel":
            sentinel = self.sentinel()
            return Topology(name, sentinel.url, (sentinel.primary,))
        (program,) = (program for program in programs() if program.name == name)
        server = self.standalone(program)
        return Topology(name, server.url, (server,))

    def close(self) -> None:
        """End them all."""
        self._stack.close()

    def _once(self, name: str, make: Callable[[], S], kind: type[S]) -> S:
        if name not in self._started:
            self._started[name] = self._stack.enter_context(make())
        found = self._started[name]
        assert isinstance(found, kind)
        return found
