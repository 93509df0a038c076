"""A Redis Cluster of the tests' own, made with plain commands: three primaries, and a replica each if asked for."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import combinations
from typing import Any, Final, Self

import redis

from support.migration import Migration
from support.programs import Program
from support.recording import Recording, recorded
from support.standalone import Standalone
from support.waiting import until

SLOTS: Final = 16384
_PRIMARIES: Final = 3


class Cluster:
    """A cluster. Use it as a context manager.

    Args:
        program: which redis-server.
        replicas: whether each primary has one. They do not take over by themselves; see `fail_over`.
        full_coverage: whether all nodes refuse keys when some slots are served by nobody.
        node_timeout: milliseconds of silence after which a node counts as failed. Keep it long where nobody fails on
            purpose, so that a machine under load does not look like a failure.
    """

    def __init__(
        self, program: Program, *, replicas: bool = False, full_coverage: bool = True, node_timeout: int = 15_000
    ) -> None:
        options = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": "1000",
            "cluster-require-full-coverage": "yes" if full_coverage else "no",
            "cluster-replica-no-failover": "yes",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",  # a replica is told to clients once it has received something
        }
        self._node_timeout = node_timeout
        count = _PRIMARIES * (2 if replicas else 1)
        self.nodes = [Standalone(program, name=f"cluster node {each}", options=options) for each in range(count)]
        self.primaries = self.nodes[:_PRIMARIES]
        """The nodes that own the slots at the start, a third each, in order."""
        self.replicas = self.nodes[_PRIMARIES:]
        """Their replicas at the start, in the order of the primaries."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.close)
            for node in self.nodes:
                node.start()
            self._introduce()
            self._deal_slots()
            until(self.is_whole, "the cluster serves all slots", ignoring=(redis.RedisError,))
            self._attach_replicas()
            for node in self.nodes:  # until now it was short: nodes tell each other news more often then
                node.ask("CONFIG", "SET", "cluster-node-timeout", self._node_timeout)
            self._nodes = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._nodes.close()

    @property
    def url(self) -> str:
        """Return a URL that names the nodes which are primaries at the start."""
        return "redis+cluster://" + ",".join(f"{node.host}:{node.port}" for node in self.primaries)

    def slot(self, key: str) -> int:
        """Return the slot of a key."""
        return int(str(self._witness().ask("CLUSTER", "KEYSLOT", key)))

    def owner(self, key: str | int) -> Standalone:
        """Return the node that serves a key or slot, as the nodes that run see it."""
        slot = self.slot(key) if isinstance(key, str) else key
        port = _owners(self._witness()).get(slot)
        if port is None:
            msg = f"no node serves slot {slot}"
            raise LookupError(msg)
        return next(node for node in self.nodes if node.port == port)

    def replica_of(self, primary: Standalone) -> Standalone:
        """Return the replica that the cluster gave to a primary at the start."""
        return self.replicas[self.primaries.index(primary)]

    def move(self, key: str | int, target: Standalone | None = None) -> Migration:
        """Return the move of one slot to another node, of which nothing has happened yet; see `Migration`."""
        slot = self.slot(key) if isinstance(key, str) else key
        source = self.owner(slot)
        target = target or next(node for node in self.primaries if node is not source and node.running)
        return Migration(slot, source, target, [node for node in self.nodes if node.running])

    def kill(self, node: Standalone) -> None:
        """Kill a node, and return when all others count it as failed."""
        name = _name(node)
        node.kill()
        others = [each for each in self.nodes if each.running]
        until(lambda: all(_failed(each, name) for each in others), f"{node.process.name} counts as failed")

    def fail_over(self, primary: Standalone) -> Standalone:
        """Make the replica of a primary, dead or alive, take over; return it when all nodes that run agree."""
        replica = self.replica_of(primary)
        replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        until(lambda: _owned(replica), f"{replica.process.name} owns slots")
        taken = _owned(replica)
        until(lambda: all(taken <= _slots_of(each, replica.port) for each in self._running()), "all nodes agree")
        return replica

    def state(self, node: Standalone) -> str:
        """Return ``ok`` or ``fail``: what a node says of the cluster."""
        found = re.search(rb"cluster_state:(\w+)", _bytes(node.ask("CLUSTER", "INFO")))
        return found[1].decode() if found else ""

    def is_whole(self) -> bool:
        """Say whether all nodes run and each knows all others and an owner of every slot."""
        return all(
            self.state(node) == "ok"
            and len(_owners(node)) == SLOTS
            and _bytes(node.ask("CLUSTER", "NODES")).count(b"\n") == len(self.nodes)
            for node in self.nodes
        )

    def monitor(self, containing: str) -> AbstractContextManager[Recording]:
        """Record what all nodes are asked during a block, node by node, with a word that contains some text."""
        return recorded([node.client for node in self.nodes if node.running], containing)

    def _running(self) -> list[Standalone]:
        return [node for node in self.nodes if node.running]

    def _witness(self) -> Standalone:
        return self._running()[0]

    def _introduce(self) -> None:
        for epoch, node in enumerate(self.nodes, start=1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for one, other in combinations(self.nodes, 2):  # all of them, for word of mouth takes seconds
            one.ask("CLUSTER", "MEET", other.host, other.port)

    def _deal_slots(self) -> None:
        bounds = [SLOTS * each // _PRIMARIES for each in range(_PRIMARIES + 1)]
        for node, start, end in zip(self.primaries, bounds, bounds[1:], strict=False):
            node.ask("CLUSTER", "ADDSLOTS", *range(start, end))

    def _attach_replicas(self) -> None:
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            replica.ask("CLUSTER", "REPLICATE", _name(primary))
        for replica in self.replicas:
            until(partial(_follows, replica), "the replica follows")
        until(lambda: all(self._sees_replicas(node) for node in self.nodes), "all nodes know the replicas")

    def _sees_replicas(self, node: Standalone) -> bool:
        ports = {int(entry[1]) for row in _rows(node) for entry in row[3:]}
        return ports == {replica.port for replica in self.replicas}


def _bytes(reply: object) -> bytes:
    if not isinstance(reply, bytes):
        msg = f"expected text, got {reply!r}"
        raise TypeError(msg)
    return reply


def _rows(node: Standalone) -> list[Any]:
    rows = node.ask("CLUSTER", "SLOTS")
    assert isinstance(rows, list)
    return rows


def _owners(node: Standalone) -> dict[int, int]:
    """Return the port of each slot's owner, as a node sees it."""
    return {slot: row[2][1] for row in _rows(node) for slot in range(row[0], row[1] + 1)}


def _slots_of(node: Standalone, port: int) -> set[int]:
    return {slot for slot, owner in _owners(node).items() if owner == port}


def _owned(node: Standalone) -> set[int]:
    return _slots_of(node, node.port)


def _name(node: Standalone) -> str:
    return _bytes(node.ask("CLUSTER", "MYID")).decode()


def _follows(replica: Standalone) -> bool:
    return replica.client.info("replication").get("master_link_status") == "up"


def _failed(node: Standalone, name: str) -> bool:
    lines = _bytes(node.ask("CLUSTER", "NODES")).decode().splitlines()
    return any(line.startswith(name) and "fail" in line.split()[2].split(",") for line in lines)
