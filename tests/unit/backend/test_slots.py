"""Promises of the slot arithmetic: the same as redis-py's, and replies of the cluster are understood."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from redis.cluster import key_slot  # type: ignore[attr-defined, unused-ignore]

from holdfast.backend import slots

BRACED = st.lists(st.sampled_from(["{", "}", "a", "b", "é", "", "user:1"]), max_size=8).map("".join)


@given(st.one_of(st.text(st.characters(blacklist_categories=["Cs"])), BRACED))
@example("{}a")
@example("{a}{b}")
@example("a{{b}}c")
@example("a}{b")
@example("123456789")
def test_a_key_has_the_slot_that_redis_gives_it(key: str) -> None:
    """The slot of a key is that of its hash tag if it has one, computed as redis-py does."""
    assert slots.slot_of(key) == key_slot(key.encode())


def test_owners_are_read_from_cluster_slots() -> None:
    """Ranges give the primary of each slot; a host that the node does not know is the one that was asked."""
    reply = [
        [0, 1, [b"10.0.0.1", 7000, b"id", []], [b"10.0.0.9", 7009, b"id", []]],
        [2, 2, [b"", 7001, b"id"]],
        [3, 3, [None, 7002, b"id"]],
        [4, 4, [b"?", 7003, b"id"]],
    ]
    table = slots.owners(reply, ("seed", 1))
    assert table[:6] == [
        ("10.0.0.1", 7000),
        ("10.0.0.1", 7000),
        ("seed", 7001),
        ("seed", 7002),
        ("seed", 7003),
        None,
    ]
    assert len(table) == slots.COUNT


def test_redirections_are_read() -> None:
    """MOVED and ASK name a node: by IPv4, IPv6 or name, or with the host left out."""
    assert slots.moved_to("MOVED 3999 127.0.0.1:6381", ("a", 1)) == ("127.0.0.1", 6381)
    assert slots.moved_to("ASK 3999 ::1:6381", ("a", 1)) == ("::1", 6381)
    assert slots.moved_to("MOVED 3999 :6381", ("a", 1)) == ("a", 6381)
    assert slots.moved_to("MOVED 3999 ?:6381", ("a", 1)) == ("a", 6381)
