"""Hits under several quotas: all or nothing, whatever algorithms they mix."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.quota import Quota
from support import limit_models as models
from support.limit_server import Buckets, LimitServer
from support.limit_traffic import costs, gaps, promise, small


def mixed(data: st.DataObject, least: int = 2) -> Buckets:
    """Return several buckets of any algorithms."""
    return {
        f"bucket {index}": quota for index, quota in enumerate(data.draw(st.lists(small(), min_size=least, max_size=4)))
    }


def test_all_are_charged_or_none() -> None:
    """A hit is admitted if all models admit it, and then charged to all; else nothing changes anywhere, not a byte."""

    @promise(3)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        buckets = mixed(data)
        rules = {key: models.model(quota) for key, quota in buckets.items()}
        server = LimitServer()
        for _ in range(data.draw(st.integers(1, 15))):
            quota = data.draw(st.sampled_from(list(buckets.values())))
            server.now += data.draw(gaps(quota))
            cost = data.draw(costs(quota))
            some = data.draw(st.lists(st.sampled_from(list(buckets)), unique=True, min_size=1))
            asked = {key: buckets[key] for key in some}
            waits = [models.wait(rules[key], buckets[key], server.now, cost) for key in some]
            before = server.content(), server.redis.ttls()
            assert server.peek(asked, cost).said == server.peek(asked, cost).said
            answer = server.hit(asked, cost)
            assert answer.admitted == (set(waits) == {0})
            assert [each.wait for each in answer.said] == waits
            if not answer.admitted:
                assert (server.content(), server.redis.ttls()) == before
            for key, told in zip(some, answer.said, strict=True):
                if answer.admitted:
                    rules[key].charge(server.now, cost)
                left = models.remaining(rules[key], buckets[key], server.now)
                assert (told.remaining, told.reset) == (left, models.reset(rules[key], server.now))

    check()


def test_waiting_for_the_longest_admits_under_all() -> None:
    """The longest of the waits is exactly enough for all buckets together."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        buckets = mixed(data)
        server = LimitServer()
        for _ in range(data.draw(st.integers(1, 12))):
            cost = data.draw(st.integers(0, 4))
            answer = server.hit(buckets, cost)
            if answer.wait > 0:
                server.now += answer.wait - 1
                assert not server.hit(buckets, cost).admitted
                server.now += 1
                assert server.hit(buckets, cost).admitted

    check()


def test_a_refused_caller_does_not_use_up_what_all_share() -> None:
    """Whatever one of two callers does beyond its own quota, the global quota is the other's to the last unit."""
    mine, yours, shared = Quota(5, 60), Quota(100, 60, algorithm="fixed_window"), Quota(50, 60, algorithm="sliding_log")
    server = LimitServer()
    assert sum(server.hit({"alice": mine, "all": shared}).admitted for _ in range(200)) == 5
    assert sum(server.hit({"bob": yours, "all": shared}).admitted for _ in range(200)) == 45
