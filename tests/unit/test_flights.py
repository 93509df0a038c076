"""The books of loads under way: who may join, who may store, and who may wait."""

from __future__ import annotations

import pytest

from holdfast._flight import PROVEN, Abandoned, CircularWait, Flight, Landing
from holdfast._flights import Flights

HERE, THERE = 1, 2


@pytest.fixture
def flights() -> Flights:
    return Flights()


def opened(flights: Flights, key: str = "k", place: int = HERE) -> Flight:
    flight, joined, is_new = flights.join(key, place)
    assert (joined, is_new) == (0, True)
    return flight


def test_one_key_has_one_flight(flights: Flights) -> None:
    """Who comes first opens it; the others join it until it is closed."""
    first = opened(flights)
    assert flights.join("k", THERE) == (first, 0, False)
    assert first.members == 2
    assert flights.has("k")
    assert flights.follow("k") == (first, 0)
    assert flights.follow("other") is None
    flights.close(first)
    assert not flights.has("k")
    assert flights.follow("k") is None
    assert opened(flights) is not first


def test_closing_a_flight_leaves_its_successor(flights: Flights) -> None:
    """A flight that is off the map already takes nobody else off."""
    old = opened(flights)
    new = flights.replace("k", HERE)
    flights.close(old)
    assert flights.join("k", HERE) == (new, 0, False)


def test_a_member_knows_what_was_sent_before_it_joined(flights: Flights) -> None:
    """So a reply proves something only for those who were there when its command was sent."""
    flight = opened(flights)
    assert flights.send(flight) == 1
    assert flights.join("k", THERE) == (flight, 1, False)
    assert flight.latest == 1
    flights.load(flight, leased=True)
    assert flight.loaded_from == 2
    assert flight.loaded_from == 2
    assert flight.latest < flight.loaded_from, "nobody has come since the load began"
    assert flights.follow("k") == (flight, 2)
    assert flight.latest >= flight.loaded_from


def test_a_change_takes_the_loads_of_its_keys_off_the_map(flights: Flights) -> None:
    """Their members keep them; later callers load for themselves. Other keys are left alone."""
    doomed, other = opened(flights), opened(flights, "other")
    flights.detach(["k", "unknown"])
    assert not flights.has("k")
    assert not doomed.cancelled
    assert flights.join("other", THERE) == (other, 0, False)
    flights.close(doomed)


def test_a_refresh_behind_is_joined_only_by_who_has_found_nothing(flights: Flights) -> None:
    """There may be a value to serve: who has not looked must look. It is opened only if nobody loads already."""
    behind = flights.open_unattended("k")
    assert behind is not None
    assert not flights.has("k")
    assert flights.follow("k") is None
    assert flights.open_unattended("k") is None
    assert flights.join("k", HERE) == (behind, 0, False)
    flights.leave(behind)
    assert not behind.cancelled, "it goes on without members"


def test_the_last_member_that_leaves_stops_the_work(flights: Flights) -> None:
    """Not an earlier one; and nobody can join what is being stopped."""
    stopped: list[str] = []
    flight = opened(flights)
    flight.cancel_with(lambda: stopped.append("stopped"))
    flights.join("k", HERE)
    flights.leave(flight)
    assert not stopped
    assert flights.has("k")
    flights.leave(flight)
    assert stopped == ["stopped"]
    assert not flights.has("k")


def test_work_that_starts_after_everybody_left_is_stopped_at_once(flights: Flights) -> None:
    """The last member may leave before it is known how to stop the work."""
    stopped: list[str] = []
    flight = opened(flights)
    flights.leave(flight)
    flight.cancel_with(lambda: stopped.append("stopped"))
    assert stopped == ["stopped"]


@pytest.mark.parametrize("reason", ["unattended", "landed"])
def test_a_flight_that_needs_no_members_is_not_stopped(flights: Flights, reason: str) -> None:
    """One whose value is on its way to Redis, and one that has landed."""
    stopped: list[str] = []
    flight = opened(flights)
    flight.cancel_with(lambda: stopped.append("stopped"))
    if reason == "landed":
        flight.land(landing(), "copy")
    else:
        flight.unattended = True
    flights.leave(flight)
    assert not stopped


def test_a_closed_loop_leaves_its_lease_to_be_taken_over(flights: Flights) -> None:
    """The load never ends; its members are told, and the lease is an orphan until it runs out."""
    dead = opened(flights)
    dead.nonce, dead.leased_until = "its nonce", 7.0
    dead.alive = lambda: False
    opened(flights)
    assert isinstance(dead.future.exception(0), Abandoned)
    assert flights.orphans.latest("k") == "its nonce"
    assert not flights.orphans.left(7.0)


def landing() -> Landing:
    return Landing(b"", None, stored=True, proof=PROVEN)


def wait(flights: Flights, flight: Flight, *inside: Flight, blocked: int | None = None) -> None:
    flights.begin_wait(flight, blocked, inside)


def test_a_circle_of_loads_is_seen_before_it_closes(flights: Flights) -> None:
    """A waits for B, B for C: C must not wait for A, nor for itself. A wait that is over does not count."""
    a, b, c = (flights.join(name, place)[0] for place, name in enumerate("abc"))
    wait(flights, b, a)
    wait(flights, c, b)
    for target in (a, b, c):
        with pytest.raises(CircularWait):
            wait(flights, target, c)
    flights.end_wait(c, None, (b,))
    wait(flights, a, c)
    with pytest.raises(CircularWait):
        wait(flights, c, b)


def test_an_outer_load_counts_as_well(flights: Flights) -> None:
    """A load inside a load must not wait for the outer one, and what waits for the inner one not for the outer."""
    outer, inner, other = (flights.join(name, place)[0] for place, name in enumerate("abc"))
    wait(flights, inner, outer)
    with pytest.raises(CircularWait):
        wait(flights, outer, outer, inner)
    wait(flights, inner, other)
    wait(flights, other)


def test_what_one_work_loads_waits_for_what_the_work_waits_for(flights: Flights) -> None:
    """A load of many keys that waits for another load is in the way of each of its keys."""
    first, second, other = (opened(flights, name, place) for place, name in enumerate("abc"))
    work = Flight("work", HERE)
    flights.tie([first, second], work)
    wait(flights, other, work)
    for tied in (first, second):
        with pytest.raises(CircularWait):
            wait(flights, tied, other)


def test_who_blocks_a_place_must_not_wait_for_it(flights: Flights) -> None:
    """A load in the caller's own thread, or one that waits for such a load, would never end."""
    here, there = flights.join("here", HERE)[0], flights.join("there", THERE)[0]
    with pytest.raises(CircularWait):
        wait(flights, here, blocked=HERE)
    wait(flights, there, blocked=HERE)
    flights.end_wait(there, HERE, ())
    wait(flights, here, there)
    with pytest.raises(CircularWait):
        wait(flights, there, blocked=HERE)


def test_a_load_must_not_wait_for_a_place_that_is_blocked_on_it(flights: Flights) -> None:
    """A thread waits for a load that would wait for a task of that thread's loop."""
    here, there = flights.join("here", HERE)[0], flights.join("there", THERE)[0]
    wait(flights, there, blocked=HERE)
    with pytest.raises(CircularWait):
        wait(flights, here, there)
    flights.end_wait(there, HERE, ())
    wait(flights, here, there)


def test_the_errors_of_a_flight_are_shared_but_not_their_tracebacks() -> None:
    """Each member raises the loader's error with the loader's frames; no other error is touched."""
    flight = Flight("k", HERE)

    def raised() -> LookupError:
        try:
            raise LookupError
        except LookupError as error:
            return error

    error, other = raised(), raised()
    flight.fail(error)
    original, foreign = error.__traceback__, other.__traceback__
    error.__traceback__ = None
    flight.untangle(error)
    flight.untangle(other)
    assert error.__traceback__ is original
    assert other.__traceback__ is foreign


def test_work_that_brings_nothing_abandons_its_members() -> None:
    """Unless there is a result already."""
    flight, landed = Flight("k", HERE), Flight("k", HERE)
    landed.land(landing(), "copy")
    flight.ended()
    landed.ended()
    assert isinstance(flight.future.exception(0), Abandoned)
    assert landed.future.exception(0) is None


def test_a_child_process_forgets_everything(flights: Flights) -> None:
    """And what was begun before the fork can still be ended in the child."""
    loading = opened(flights)
    flights.orphans.add("other", "nonce", 7.0)
    wait(flights, loading, blocked=THERE)
    flights.after_fork()
    assert not flights.has("k")
    assert not flights.orphans
    flights.end_wait(loading, THERE, ())
    flights.leave(loading)
    flights.close(loading)
    assert opened(flights) is not loading
