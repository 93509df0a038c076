"""What may happen to everybody at any instant. Each says whether it could."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import BackendTimeout, BackendUnavailable
from support.model.ledger import script_of
from support.model.lines import Sent

if TYPE_CHECKING:
    from support.model.play import Play


def evict(play: Play) -> bool:
    """Lose a key."""
    world = play.world
    keys = sorted(key for key in world.redis._values if key.startswith(play.scenario.evicted))
    if keys:
        key = play.chance.choice(keys)
        world.say("evicted:", key.decode())
        world.redis.expire_now(key.decode())
        world.ledger.vanished(key)
    return bool(keys)


def leap(play: Play) -> bool:
    """Let time pass, until something is due or a key has expired."""
    world = play.world
    dues = [timer.due for timer in world.timers.all] + [end / 1000 + 0.002 for end in world.redis._deadlines.values()]
    dues += [world.time + seconds for seconds in play.scenario.leaps]
    dues = [due for due in dues if due > world.time]
    if dues:
        world.leap(play.chance.choice(dues))
    return bool(dues)


def kill(play: Play) -> bool:
    """Let a process die, but not the last one."""
    living = [process for process in play.processes if not process.dead]
    if len(living) < 2:
        return False
    play.world.kill(play.chance.choice(living))
    return True


def cancel(play: Play) -> bool:
    """Cancel a task of a user."""
    victims = [actor for actor in play.world.actors if actor in play.users and not actor.blocking]
    if victims:
        play.chance.choice(victims).cancel()
    return bool(victims)


def close_loop(play: Play) -> bool:
    """Close a loop while tasks of it are under way."""
    loops = [(process, place) for process in play.processes if not process.dead for place in process.open_loops()]
    if loops:
        process, place = play.chance.choice(loops)
        play.world.say(f"    loop {place} is closed")
        process.close_loop(place)
    return bool(loops)


def fail(play: Play) -> bool:
    """Lose a request or a reply; nobody knows which."""
    batches = {sent.batch: None for sent in _on_their_way(play)}
    if batches:
        error = play.chance.choice((BackendUnavailable, BackendTimeout))("lost")
        batch = play.chance.choice(list(batches))
        play.world.say("    failure:", batch.sender.name if batch.sender else "", repr(error))
        play.world.lines.give_up(batch, error)
    return bool(batches)


def twin(play: Play) -> bool:
    """Have a command executed once more, at some later time."""
    sent = [one for one in _on_their_way(play) if script_of(one.command) in play.scenario.sent_twice]
    if sent:
        play.world.lines.again([play.chance.choice(sent)])
    return bool(sent)


def _on_their_way(play: Play) -> list[Sent]:
    on_their_way = [sent for line in play.world.lines.all for sent in (*line.outgoing, *line.incoming)]
    return [sent for sent in on_their_way if sent.batch.sender is not None]


def cut(play: Play) -> bool:
    """Break the connection over which a process hears messages."""
    subscriber = play.chance.choice(play.world.subscribers)
    subscriber.cut(at_once=play.chance.random() < 0.5)
    play.world.say(f"    the subscriber of process {subscriber.number} is cut off")
    return True
