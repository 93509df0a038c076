"""A primary and a replica of the tests' own, with nobody who watches them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import redis

from support.programs import Program
from support.server import HOST
from support.standalone import Standalone
from support.waiting import until

_QUICK: Final = {"repl-diskless-sync-delay": "0"}


class Replicated(NamedTuple):
    """A primary and who follows it."""

    primary: Standalone
    replica: Standalone


@contextmanager
def replicated(program: Program) -> Iterator[Replicated]:
    """Start a primary and a replica for a block, and begin when the replica follows."""
    with (
        Standalone(program, name="primary", options=_QUICK) as primary,
        Standalone(program, name="replica", options=_QUICK) as replica,
    ):
        follow(replica, primary)
        yield Replicated(primary, replica)


def follow(replica: Standalone, primary: Standalone) -> None:
    """Make a server the replica of another, and return when it follows and has told how far it is."""
    replica.ask("REPLICAOF", HOST, primary.port)

    def follows() -> bool:
        found = primary.client.info("replication")
        return bool(found["connected_slaves"] == 1 and found["slave0"]["state"] == "online")

    until(follows, "the replica follows", ignoring=(redis.RedisError,))
    until(lambda: bool(primary.client.wait(1, 1000)), "the replica tells how far it is", ignoring=(redis.RedisError,))
