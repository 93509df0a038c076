"""Locks on the real scripts, against models that say of every step what it answers, changes and tells."""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from holdfast.scripts import locks as scripts
from support.limit_traffic import promise
from support.lock_models import LockModel, LockServer, Model, ShareModel

Step: TypeAlias = tuple[int, str, str, tuple[Any, ...]]
"""Milliseconds since the step before, a verb, a member, and more arguments."""
leases = st.sampled_from([0.001, 0.5, 1, 1.5, 30, 7200])
waitings = st.sampled_from([0.001, 0.5, 1, 1.001, 2, 8])
forward = st.integers(0, 1500) | st.sampled_from([0, 0, 1, 499, 500, 501, 999, 1000, 1001, 8000, 3_600_001])
backward = st.sampled_from([-1, -500, -1001, -40_000, -7_000_000])
queueing = st.tuples(leases, st.booleans() | st.just(True), waitings)
lock_steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(forward | backward, st.just("take_fair"), st.sampled_from(["f1", "f2", "f3", "f4"]), queueing),
    st.tuples(forward, st.just("leave_fair"), st.sampled_from(["f1", "f2", "f3", "f4"]), st.just(())),
    st.tuples(forward, st.just("take"), st.sampled_from(["u1", "u2"]), st.tuples(leases)),
    st.tuples(forward, st.just("leave"), st.sampled_from(["u1", "u2", "f1"]), st.just(())),
    st.tuples(forward, st.just("keep"), st.sampled_from(["u1", "f1", "f2"]), st.tuples(leases)),
    st.tuples(
        forward,
        st.just("fix_fence"),
        st.sampled_from(["u1", "f1"]),
        st.tuples(st.sampled_from([1, 1_700_000_001 * 10**6])),
    ),
    st.tuples(forward, st.just("lose_fence"), st.just(""), st.just(())),
)
sharers = st.sampled_from(["r:1", "r:2", "r:3", "r:4", "w:1", "w:2"])
share_verbs = st.sampled_from(["take_share", "take_share", "take_share", "leave_share", "keep_share"])


@st.composite
def share_steps(draw: st.DrawFn) -> Step:
    """Return a step of readers, writers, or holders of permits."""
    verb, member = draw(share_verbs), draw(sharers)
    lease, waits, waiting = draw(queueing)
    capacity, exclusive = draw(st.sampled_from([0, 0, 2, 2, 1, 3])), member.startswith("w:")
    more = {"take_share": (lease, capacity, exclusive, waits, waiting), "keep_share": (lease,), "leave_share": ()}
    return draw(forward | backward if verb == "take_share" else forward), verb, member, more[verb]


@promise(8)
@given(st.lists(lock_steps, max_size=40))
def test_a_lock_does_what_its_model_does(story: list[Step]) -> None:
    """Whoever takes, queues, keeps or leaves, fairly or not, is answered, and changes and tells, what it should."""
    _tell(LockServer("lock"), LockModel(), story)


@promise(8)
@given(st.lists(share_steps(), max_size=40))
def test_a_shared_lock_does_what_its_model_does(story: list[Step]) -> None:
    """Readers, writers and holders of permits are answered, and change and tell, what they should."""
    _tell(LockServer("rwlock"), ShareModel(), story)


def _tell(server: LockServer, model: Model, story: list[Step]) -> None:
    for gap, verb, member, more in story:
        if gap < 0:  # what is over is over, before the clock goes back
            leave = "leave_share" if isinstance(model, ShareModel) else "leave_fair"
            assert server.call(getattr(scripts, leave)(server.places, "nobody")) == getattr(model, leave)("nobody") == 0
        server.now += gap * 1000 + 7
        model.micros = server.now
        if verb == "lose_fence":
            server.redis.expire_now(server.places.fence)
            model.lose_fence()
            continue
        before = server.waiting(), server.holders()
        command = getattr(scripts, verb)(server.places, member, *more)
        reply = server.call(command)
        assert reply == getattr(model, verb)(member, *more)
        _compare(server, model)
        if not command.repeatable:
            assert server.call(command) == 0
        elif verb != "take_share":
            assert server.call(command) == reply
        else:
            again = server.call(command)
            assert again[::2] == reply[::2]
            assert again == getattr(model, verb)(member, *more)
            server.news()
            model.news.clear()
        _compare(server, model)
        if isinstance(reply, list) and reply[0] == 0:
            assert server.holders() == before[1]


def _compare(server: LockServer, model: Any) -> None:
    """See that both know the same, and have told the same."""
    assert server.holders() == model.holders()
    assert server.waiting() == model.waiting()
    assert server.news() == model.news
    model.news.clear()
    left, now = server.redis.ttls(), server.now // 1000
    assert left.get(server.places.held, 0) >= max(model.holders().values(), default=now) - now
    last = max((until for _, until in model.waiting()), default=now)
    assert left.get(server.places.queue, 0) >= last - now
    assert left.get(server.places.alive, 0) >= last - now
