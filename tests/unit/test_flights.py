"""The books of loads under way: who may join, who may store, and who may wait."""

from __future__ import annotations

import pytest

from holdfast._flight import Abandoned, CircularWait, Flight, Landing
from holdfast._flights import Flights

HERE, THERE = 1, 2


@pytest.fixture
def flights() -> Flights:
    return Flights()


def test_one_key_has_one_flight(flights: Flights) -> None:
    """Who comes first opens it; the others join it until it is closed."""
    first, opened = flights.join("k", HERE)
    second, joined = flights.join("k", THERE)
    assert (first is second, opened, joined) == (True, True, False)
    assert first.members == 2
    assert flights.has("k")
    assert flights.follow("k") is first
    assert flights.follow("other") is None
    flights.close(first)
    assert not flights.has("k")
    assert flights.follow("k") is None
    again, opened = flights.join("k", HERE)
    assert opened
    assert again is not first


def test_closing_a_flight_leaves_its_successor(flights: Flights) -> None:
    """A flight that is off the map already takes nobody else off."""
    old, _ = flights.join("k", HERE)
    new = flights.replace("k", HERE)
    flights.close(old)
    assert flights.follow("k") is new
    assert old.revoked
    assert not new.revoked


def test_the_last_member_that_leaves_stops_the_work(flights: Flights) -> None:
    """Not an earlier one; and nobody can join what is being stopped."""
    stopped: list[str] = []
    flight, _ = flights.join("k", HERE)
    flight.cancel_with(lambda: stopped.append("stopped"))
    flights.join("k", HERE)
    flights.leave(flight)
    assert not stopped
    assert flights.has("k")
    flights.leave(flight)
    assert stopped == ["stopped"]
    assert not flights.has("k")
    assert flights.begin_fill(flight) is None


def test_work_that_starts_after_everybody_left_is_stopped_at_once(flights: Flights) -> None:
    """The last member may leave before it is known how to stop the work."""
    stopped: list[str] = []
    flight, _ = flights.join("k", HERE)
    flights.leave(flight)
    flight.cancel_with(lambda: stopped.append("stopped"))
    assert stopped == ["stopped"]


def test_a_fill_is_not_stopped_when_its_members_leave(flights: Flights) -> None:
    """Once the value is on its way, nobody could tell when it arrives: so the reply is awaited."""
    stopped: list[str] = []
    flight, _ = flights.join("k", HERE)
    flight.cancel_with(lambda: stopped.append("stopped"))
    assert flights.begin_fill(flight) == []
    flights.leave(flight)
    assert not stopped
    assert flights.hold(["k"]) == [flight]


def test_a_flight_that_has_landed_is_not_stopped(flights: Flights) -> None:
    """Leaving after the result is there is nothing special."""
    stopped: list[str] = []
    flight, _ = flights.join("k", HERE)
    flight.cancel_with(lambda: stopped.append("stopped"))
    flight.land(Landing(b"", None, stored=True), "copy")
    flights.leave(flight)
    assert not stopped


def test_a_held_key_is_not_filled(flights: Flights) -> None:
    """Neither by a flight from before, nor by one that opens meanwhile; after the release, by a new one only."""
    before, _ = flights.join("k", HERE)
    assert flights.hold(["k"]) == []
    assert not flights.has("k"), "nobody joins a load from before the change"
    meanwhile, opened = flights.join("k", HERE)
    assert opened
    assert flights.begin_fill(before) is None
    assert flights.begin_fill(meanwhile) is None
    late, _ = flights.join("k", HERE)
    flights.release(["k"])
    assert not flights.has("k")
    assert flights.begin_fill(late) is None
    after, _ = flights.join("k", HERE)
    assert flights.begin_fill(after) == []


def test_a_key_that_two_hold_stays_held_until_both_release(flights: Flights) -> None:
    """The same key twice in one change counts twice as well."""
    flights.hold(["k", "k"])
    flights.hold(["k"])
    flights.release(["k", "k"])
    flight, _ = flights.join("k", HERE)
    assert flights.begin_fill(flight) is None
    flights.release(["k"])
    flight, _ = flights.join("k", HERE)
    assert flights.begin_fill(flight) == []


def test_a_fill_knows_the_fills_before_it(flights: Flights) -> None:
    """Of its key, in order, until they are over."""
    first, _ = flights.join("k", HERE)
    assert flights.begin_fill(first) == []
    second, _ = flights.join("k", HERE)
    assert flights.begin_fill(second) == [first]
    third, _ = flights.join("k", HERE)
    assert flights.begin_fill(third) == [first, second]
    other, _ = flights.join("other", HERE)
    assert flights.begin_fill(other) == []
    assert flights.end_fill(first)
    assert first.filled is not None
    assert first.filled.done()
    assert flights.hold(["k", "other"]) == [second, third, other]


def test_a_doomed_fill_has_to_delete_first_and_bars_its_key_until_then(flights: Flights) -> None:
    """Callers join the barrier, which ends with nothing; a refresh may lie above it; then all is as before."""
    fill, _ = flights.join("k", HERE)
    flights.begin_fill(fill)
    flights.hold(["k"])
    flights.doom(fill)
    flights.release(["k"])
    assert flights.barred("k")
    barrier = flights.follow("k")
    assert barrier is not None
    assert barrier is not fill
    above = flights.replace("k", HERE)
    assert flights.follow("k") is above
    flights.close(above)
    assert flights.follow("k") is barrier
    flights.hold(["k"])
    flights.release(["k"])
    assert flights.follow("k") is barrier, "a barrier is not revoked"
    assert not flights.end_fill(fill)
    assert flights.barred("k")
    assert flights.end_fill(fill, undone=True)
    assert not flights.barred("k")
    assert not flights.has("k")
    assert isinstance(barrier.future.exception(0), Abandoned)


def test_a_fill_that_is_over_cannot_be_doomed(flights: Flights) -> None:
    """Its value is there already, and the deletion comes after it."""
    fill, _ = flights.join("k", HERE)
    flights.begin_fill(fill)
    assert flights.end_fill(fill)
    flights.doom(fill)
    assert not flights.barred("k")
    assert not flights.has("k")


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
    landed.land(Landing(b"", None, stored=False), "copy")
    flight.ended()
    landed.ended()
    assert isinstance(flight.future.exception(0), Abandoned)
    assert landed.future.exception(0) is None


def test_a_child_process_forgets_everything(flights: Flights) -> None:
    """And what was begun before the fork can still be ended in the child."""
    loading, _ = flights.join("k", HERE)
    filling, _ = flights.join("l", HERE)
    flights.begin_fill(filling)
    flights.hold(["m"])
    wait(flights, loading, blocked=THERE)
    flights.after_fork()
    assert not flights.has("k")
    assert flights.end_fill(filling)
    flights.release(["m"])
    flights.end_wait(loading, THERE, ())
    flights.leave(loading)
    assert flights.hold(["k", "l", "m"]) == []
