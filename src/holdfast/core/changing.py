"""Changing entries on request: writing, removing, giving more time, invalidating by tag.

A change revokes the leases of its keys in the same script, so that loads that began before store nothing. When Redis
has answered, or has failed to, this process forgets what it has of the keys: loads under way are not joined any more,
and near entries are dropped. That comes after the reply: whatever was read before it may be old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.commands import Command, Reply
from holdfast.core.caching import Caching
from holdfast.core.encoding import TAGS_FUNCTION, derived_tags
from holdfast.core.plan import Plan
from holdfast.core.sending import chunks, send
from holdfast.errors import BackendError
from holdfast.events import Fill, Invalidated, TagsInvalidated
from holdfast.policy.frame import instant
from holdfast.policy.freshness import parse_versions, stamps_of
from holdfast.policy.stamps import Stamp
from holdfast.port import Port
from holdfast.scripts import cache as scripts

_TAG_LIFE = 86400.0
"""Seconds for which an invalidated tag is kept at least. One that is gone makes its entries invalid, too."""


async def write(caching: Caching, port: Port, plan: Plan, key: str, value: object, tags: tuple[str, ...] = ()) -> None:
    """Store a value as if it had just been loaded; one that is not to be stored removes what is."""
    fresh = plan.seconds_for(value, port.random())
    if fresh:
        if plan.tags_of is not None:
            tags = tuple(dict.fromkeys((*tags, *derived_tags(plan.tags_of(value), TAGS_FUNCTION))))
        await write_many(caching, port, plan, {key: value}, fresh, tags)
    else:
        await remove(caching, port, plan, [key])


async def write_many(
    caching: Caching,
    port: Port,
    plan: Plan,
    values: Mapping[str, object],
    fresh: float,
    tags: tuple[str, ...] = (),
) -> None:
    """Store values, all with the same tags; nothing is stored if one of them cannot be.

    The tags are read before: an invalidation that comes between makes the entries invalid.
    """
    kept = plan.kept_for(fresh)
    stamps = await _stamps(caching, port, plan, tags, kept) if tags else ()
    raws = {key: _encode(port, plan, key, value, fresh, stamps) for key, value in values.items()}
    for chunk in chunks(list(raws)):
        commands: list[Command] = []
        for key in chunk:
            places = caching.names.places(key)
            commands.append(scripts.put_value(key, places.lease, frame=raws[key], seconds=kept, channel=places.news))
        await _change(caching, port, plan, chunk, commands)
        plan.tally.fills += len(chunk)
        if caching.recorder.hooks:
            for key in chunk:
                caching.recorder.emit(Fill(plan.tally.pattern, key, len(raws[key]), kept, 0.0))


def _encode(port: Port, plan: Plan, key: str, value: object, fresh: float, stamps: Sequence[Stamp]) -> bytes:
    """Return an entry for a value that somebody brought."""
    now = port.now()
    raw, _ = plan.codec.encode_checked(
        key,
        value,
        id=f"{port.token()}{int(now * 1_000_000):016d}",
        created=now,
        fresh_until=now + fresh,
        load_time=0.0,
        stamps=stamps,
        lingers=plan.leeway.extra > 0,
    )
    return raw


async def _stamps(caching: Caching, port: Port, plan: Plan, tags: tuple[str, ...], kept: float) -> tuple[Stamp, ...]:
    nonce, life = port.token(), max(kept, plan.tag_life)
    reads = [scripts.tag_versions(caching.names.tag(tag), nonce=nonce, seconds=life) for tag in tags]
    try:
        versions = await port.pipeline(reads)
    except BackendError as error:
        caching.recorder.backend_failed(plan.tally, reads[0].name, error)
        raise
    return stamps_of(dict(zip(tags, map(parse_versions, versions), strict=True)))


async def remove(caching: Caching, port: Port, plan: Plan, keys: Sequence[str]) -> int:
    """Remove entries; return how many there were."""
    count = 0
    for chunk in chunks(keys):
        commands: list[Command] = []
        for key in chunk:
            places = caching.names.places(key)
            commands.append(scripts.invalidate(places.value or key, places.lease, channel=places.news))
        count += sum(map(int, await _change(caching, port, plan, chunk, commands)))
        if caching.recorder.hooks:
            for key in chunk:
                caching.recorder.emit(Invalidated(plan.tally.pattern, key))
    return count


async def invalidate_tags(caching: Caching, port: Port, plan: Plan, tags: Sequence[str], *, soft: bool) -> None:
    """Give tags new versions, so that all entries that carry the old ones are out of date.

    The epoch is written first: a load that reads a version of a tag after it began, and finds the epoch unchanged, then
    knows that the version is not newer than its load.
    """
    names = caching.names
    commands = [
        scripts.tag_invalidate(
            names.tag(tag), nonce=port.token(), seconds=_TAG_LIFE, soft=soft, channel=names.tag_news(tag)
        )
        for tag in tags
    ]
    epoch = scripts.tag_invalidate(names.epoch, nonce=port.token(), seconds=_TAG_LIFE, soft=False, channel="")
    try:
        for chunk in chunks(commands):
            await port.steps([epoch], chunk)
    except BackendError as error:
        caching.recorder.backend_failed(plan.tally, epoch.name, error)
        raise
    finally:
        caching.flights.detach_unleased()
        for tag in tags:
            caching.nearby.near.bump_tag(tag)
    if caching.recorder.hooks:
        caching.recorder.emit(TagsInvalidated(tuple(tags), soft))


async def expire(caching: Caching, port: Port, plan: Plan, key: str, ttl: float) -> bool:
    """Keep an entry for `ttl` from now, fresh until then; say whether there is one."""
    news = caching.names.places(key).news
    command = scripts.expire_value(key, seconds=ttl, fresh_until=instant(port.now() + ttl), channel=news)
    try:
        return bool(await port.call(command))
    except BackendError as error:
        caching.recorder.backend_failed(plan.tally, command.name, error)
        raise
    finally:
        caching.nearby.near.bump(key)


async def _change(
    caching: Caching, port: Port, plan: Plan, keys: Sequence[str], commands: Sequence[Command]
) -> list[Reply]:
    """Send commands that change entries; whatever comes of it, forget what this process has of them.

    Raises:
        BackendError: Redis could not be used, whatever the layer does about reads.
    """
    try:
        return await send(port, commands)
    except BackendError as error:
        caching.recorder.backend_failed(plan.tally, commands[0].name, error)
        raise
    finally:
        caching.flights.detach(keys)
        for key in keys:
            caching.nearby.near.bump(key)
