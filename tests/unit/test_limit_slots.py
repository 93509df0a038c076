"""Slots on the real scripts, against a model that knows only when each lease runs out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.scripts import limits as scripts
from support.limit_server import LimitServer
from support.limit_traffic import promise

KEY = "slots"
TOKENS = [f"token {number}" for number in range(6)]
steps = st.lists(
    st.tuples(
        st.integers(0, 1500) | st.sampled_from([0, 999, 1000, 1001]),
        st.sampled_from(["take", "take", "keep", "leave"]),
        st.sampled_from(TOKENS),
        st.sampled_from([0.001, 1, 1.5]),
    ),
    max_size=30,
)


@promise(3)
@given(st.integers(1, 4), steps)
def test_slots_are_leases(limit: int, story: list[tuple[int, str, str, float]]) -> None:
    """Never more than `limit` tokens hold one; a lease that ran out is lost, cannot be kept, and its slot is free.

    A token that takes twice holds one slot. What is left, and when the first lease runs out, is told exactly; and the
    key lives a moment longer than the last lease.
    """
    server, leases = LimitServer(), dict[str, int]()
    for gap, verb, token, lease in story:
        server.now += gap * 1000
        now = server.now // 1000
        held = {each: until for each, until in leases.items() if until > now}
        if verb == "take":
            reply = server.call(scripts.take_slot(KEY, token=token, limit=limit, seconds=lease))
            taken = token in held or len(held) < limit
            assert reply[0] == taken
            if taken:
                held[token] = now + round(lease * 1000)
                assert reply[1:] == [limit - len(held), round(lease * 1000)]
            else:
                assert reply[1:] == [0, min(held.values()) - now]
        elif verb == "keep":
            assert server.call(scripts.keep_slot(KEY, token=token, seconds=lease)) == (token in held)
            if token in held:
                held[token] = now + round(lease * 1000)
        else:
            assert (token in held) <= server.call(scripts.leave_slot(KEY, token=token)) <= 1
            held.pop(token, None)
        leases = held
        assert len(held) <= limit
        left = server.redis.ttls().get(KEY, 0)
        assert left >= max(held.values(), default=now) - now


def test_a_lower_limit_drives_nobody_out() -> None:
    """Who holds a slot keeps it when the limit is lowered; nobody else gets one before enough have left."""
    server = LimitServer()
    for token in TOKENS[:3]:
        assert server.call(scripts.take_slot(KEY, token=token, limit=3, seconds=60))[0]
    for left in TOKENS[:2]:
        assert server.call(scripts.take_slot(KEY, token="new", limit=2, seconds=60))[0] == 0
        assert server.call(scripts.take_slot(KEY, token=TOKENS[2], limit=2, seconds=60))[:2] == [1, 0]
        assert server.call(scripts.keep_slot(KEY, token=TOKENS[2], seconds=60)) == 1
        server.call(scripts.leave_slot(KEY, token=left))
    assert server.call(scripts.take_slot(KEY, token="new", limit=2, seconds=60))[0] == 1


def test_a_lease_that_is_renewed_goes_on() -> None:
    """Every renewal counts from its own instant: the slot outlives the lease with which it was taken."""
    server = LimitServer()
    assert server.call(scripts.take_slot(KEY, token="mine", limit=1, seconds=1))[0] == 1
    for _ in range(5):
        server.now += 900_000
        assert server.call(scripts.keep_slot(KEY, token="mine", seconds=1)) == 1
    assert server.redis.ttls()[KEY] >= 1000
    assert server.call(scripts.take_slot(KEY, token="other", limit=1, seconds=1)) == [0, 0, 1000]
