"""Hash slots: which one a key has, and who owns it. Pure.

Redis Cluster Specification, "Key distribution model" and "Hash tags".
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, Final

from holdfast.backend.topology import Address

COUNT: Final = 16384


def slot_of(key: str) -> int:
    """Return the hash slot of a key: CRC16 of its hash tag, or of all of it where there is none."""
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key.encode(), 0) % COUNT


def owners(reply: Sequence[Any], asked: Address) -> list[Address | None]:
    """Return the primary of every slot from the reply to CLUSTER SLOTS.

    Args:
        reply: one `[first, last, [host, port, ...], ...]` a range.
        asked: the node that answered; it stands in for a host that the node does not know itself.
    """
    table: list[Address | None] = [None] * COUNT
    for first, last, primary, *_ in reply:
        host = bytes(primary[0] or b"").decode()
        address = (asked[0] if host in {"", "?"} else host, int(primary[1]))
        table[first : last + 1] = [address] * (last - first + 1)
    return table


def moved_to(message: str, asked: Address) -> Address:
    """Return the address in a MOVED or ASK reply: ``MOVED slot host:port``."""
    host, _, port = message.split(" ")[2].rpartition(":")
    return (asked[0] if host in {"", "?"} else host, int(port))
