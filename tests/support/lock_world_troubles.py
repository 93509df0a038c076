"""What may happen to everybody at any instant. Each says whether it could."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import BackendTimeout, BackendUnavailable

if TYPE_CHECKING:
    from support.lock_world_play import LockPlay


def kill(play: LockPlay) -> bool:
    """Let a process die, but not the last one."""
    living = [process for process in play.processes if not process.dead]
    if len(living) < 2:
        return False
    process = play.chance.choice(living)
    play.world.troubled()
    process.frozen = False
    play.world.kill(process)
    play.world.watch.holds = [hold for hold in play.world.watch.holds if not hold.is_of(process.keeper.process)]
    return True


def freeze(play: LockPlay) -> bool:
    """Stop a process for a while, mostly for longer than its leases last."""
    able = [process for process in play.processes if not (process.dead or process.frozen)]
    if not able:
        return False
    process, lasts = play.chance.choice(able), play.world.watch.longest * play.chance.choice((0.4, 1.1, 1.1, 2.0))
    play.world.say(f"    process {process.number} stops for {lasts:.1f} s")
    process.frozen = process.troubled = True

    def go_on() -> None:
        play.world.say(f"    process {process.number} goes on")
        process.frozen = False
        play.world.troubled()

    play.world.timers.add(play.world.time + lasts, go_on, None)
    play.world.troubled(play.world.time + lasts)
    return True


def cancel(play: LockPlay) -> bool:
    """Cancel a task of a user, or interrupt his thread."""
    victims = [actor for actor in play.world.actors if actor in play.users]
    if victims:
        play.chance.choice(victims).cancel()
    return bool(victims)


def fail(play: LockPlay) -> bool:
    """Lose a request or a reply; nobody knows which."""
    lines = play.world.lines
    batches = {sent.batch: None for line in lines.all for sent in (*line.outgoing, *line.incoming)}
    known = [batch for batch in batches if batch.sender is not None]
    if known:
        error = play.chance.choice((BackendUnavailable, BackendTimeout))("lost")
        batch = play.chance.choice(known)
        play.world.say("    failure:", batch.sender.name if batch.sender else "", repr(error))
        lines.give_up(batch, error)
        play.world.troubled()
    return bool(known)


def hold_up(play: LockPlay) -> bool:
    """Let requests or replies of a connection take long, mostly longer than anybody waits for them."""
    lines = [line for line in play.world.lines.all if line.port is not None and (line.outgoing or line.incoming)]
    if not lines:
        return False
    line = play.chance.choice(lines)
    line.port._home.troubled = True
    seconds = play.chance.choice((0.2, 0.9, 1.5, play.world.watch.longest * 1.1))
    play.world.say(f"    a connection of process {line.port._home.number} is slow for {seconds:.1f} s")
    play.world.lines.hold_up(line, "out" if line.outgoing else "in", play.world.time + seconds)
    return True


def twin(play: LockPlay) -> bool:
    """Have a command executed now, and its reply lost, so that it is sent again behind its caller's back."""
    lines = play.world.lines
    sent = [one for line in lines.all for one in line.outgoing if one.command.repeatable and line.port is not None]
    if play.world.away or not sent:
        return False
    command = play.chance.choice(sent).command
    play.world.say("    redis, and again later:", command.name, play.world.execute(command))
    return True


def cut(play: LockPlay) -> bool:
    """Break the connection over which a process hears messages."""
    subscriber = play.chance.choice(play.world.subscribers)
    subscriber.cut(at_once=play.chance.random() < 0.5)
    play.world.say(f"    the subscriber of process {subscriber.number} is cut off")
    play.world.troubled()
    return True


def evict(play: LockPlay) -> bool:
    """Lose the last fencing token, as when the server needs memory. Where the clock goes back, too, nothing helps."""
    if play.world.watch.failed_at or play.world.away:
        return False
    play.evicted = True
    keys = sorted(key for key in play.world.redis._values if key.endswith(b":fence"))
    for key in keys:
        play.world.redis.expire_now(key.decode())
    return bool(keys)


def failover(play: LockPlay) -> bool:
    """Let the primary die, and after a while a replica take over that has not seen the last writes. Once.

    Its clock is behind by less than that took, or by whatever if no write was lost; what else may happen to the
    numbers is documented. A restart without data is the same with an empty server, whose clock is right.
    """
    world, chance = play.world, play.chance
    if world.watch.failed_at or world.away or not play.snapshots:
        return False
    how = chance.choice(("behind", "behind", "empty", "behind" if play.evicted else "lossless"))
    lasts = chance.uniform(0.3, 3.0)
    behind = {"behind": chance.uniform(-0.2, lasts), "lossless": chance.uniform(0, 20.0), "empty": 0.0}[how]
    snapshot = play.snapshots[-1] if how == "lossless" else chance.choice(play.snapshots)
    world.say(f"    the primary dies ({how}); the next one is {behind:.1f} s behind")
    world.away = True
    world.lines.cut_off()
    for subscriber in world.subscribers:
        subscriber.cut(at_once=True)
    for process in play.processes:
        process.troubled = True

    def take_over() -> None:
        world.say("    a replica takes over")
        world.away = False
        world.offset -= behind
        world.books.restore(play.empty if how == "empty" else snapshot)
        world.watch.behind = max(0.0, behind)
        world.watch.failover()
        world.troubled()

    world.timers.add(world.time + lasts, take_over, None)
    world.troubled(world.time + lasts)
    return True
