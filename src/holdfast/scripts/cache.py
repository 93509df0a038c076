"""The commands of the cache protocol: leases, values and tags.

Each function returns the call of one script; the header of its ``.lua`` file has the replies, and the reasons. Here are
no decisions and no names: keys and channels come in whole, times in seconds. All keys of one call share a slot.

A token is what `acquire` granted: 32 characters, of which the first 16 are the nonce that was sent.
"""

from __future__ import annotations

from typing import Final

from holdfast.commands import Command, milliseconds
from holdfast.scripts import load

_ACQUIRE: Final = load("acquire")
_FILL: Final = load("fill", repeatable=True)
_RENEW: Final = load("renew", repeatable=True)
_ABANDON: Final = load("abandon", repeatable=True)
_INVALIDATE: Final = load("invalidate", repeatable=True)
_PUT: Final = load("put")
_EXPIRE: Final = load("expire", repeatable=True)
_TAG_VERSIONS: Final = load("tag_versions")
_TAG_INVALIDATE: Final = load("tag_invalidate")


def acquire(
    lease: str, left: str | None, *, nonce: str, seconds: float, seen: bytes = b"", replace: str = ""
) -> Command:
    """Ask for a lease, unless something usable is left already or another caller holds it.

    Args:
        lease: key of the lease.
        left: key of what a load leaves behind, or None if there is nothing to look for.
        nonce: 16 characters, new for every send.
        seconds: how long the lease lasts.
        seen: id of the value that the caller has read and cannot use.
        replace: nonce of a lease under which nothing runs any more, or ``"*"`` to take it from whoever holds it.

    Returns:
        The command; its reply is ``[0, value]``, ``[1, token]`` granted, or ``[2, token, milliseconds]`` wait.
    """
    keys = (lease,) if left is None else (lease, left)
    return _ACQUIRE.command(keys, (nonce, milliseconds(seconds), seen, replace))


def fill(
    left: str,
    lease: str,
    *,
    token: str,
    frame: bytes,
    seconds: float,
    channel: str,
    part: tuple[str, bytes] | None = None,
) -> Command:
    """Store what was loaded for `seconds`, if the lease is still held; the reply is 1, or 0 for lost.

    Args:
        left: key under which to store it.
        lease: key of the lease.
        token: of the lease.
        frame: what to store.
        seconds: for how long.
        channel: where to tell those who wait.
        part: the key of a part that the frame only names, in the same slot, and the part.
    """
    keys, words = (left, lease), (token, frame, milliseconds(seconds), channel)
    if part is None:
        return _FILL.command(keys, words)
    return _FILL.command((*keys, part[0]), (*words, part[1]))


def renew(lease: str, *, token: str, seconds: float) -> Command:
    """Let a lease last `seconds` from now, if it is still held; the reply is 1, or 0 for lost."""
    return _RENEW.command((lease,), (token, milliseconds(seconds)))


def abandon(left: str, lease: str, *, token: str, channel: str, retry_at: bytes = b"") -> Command:
    """Give a lease back without a result.

    Args:
        left: key under which the result would have been stored.
        lease: key of the lease.
        token: the token, or only its nonce if the reply that named it never came.
        channel: where to tell those who wait.
        retry_at: instant before which no refresh is tried, as the frame holds it; empty if that is of no interest.

    Returns:
        The command; its reply is ``[held, value]``, the value only if `retry_at` was given.
    """
    return _ABANDON.command((left, lease), (token, retry_at, channel))


def invalidate(value: str, lease: str, *, channel: str) -> Command:
    """Remove a value and revoke its lease; the reply is how many values there were, 0 or 1."""
    return _INVALIDATE.command((value, lease), (channel,))


def put_value(value: str, lease: str, *, frame: bytes, seconds: float, channel: str) -> Command:
    """Store a value for `seconds` whoever holds the lease, and revoke it; the reply is 1."""
    return _PUT.command((value, lease), (frame, milliseconds(seconds), channel))


def expire_value(value: str, *, seconds: float, fresh_until: bytes, channel: str) -> Command:
    """Keep a stored value for `seconds` from now, fresh until an instant; the reply is 0 if there is none."""
    return _EXPIRE.command((value,), (milliseconds(seconds), fresh_until, channel))


def tag_versions(tag: str, *, nonce: str, seconds: float) -> Command:
    """Read the versions of a tag, ``<hard>.<soft>``, and see that it lives for at least `seconds`."""
    return _TAG_VERSIONS.command((tag,), (nonce, milliseconds(seconds)))


def tag_invalidate(tag: str, *, nonce: str, seconds: float, soft: bool, channel: str) -> Command:
    """Replace the versions of a tag, only the soft one if `soft`; the reply is the new ``<hard>.<soft>``.

    Args:
        tag: key of the tag.
        nonce: 16 characters, new for every send.
        seconds: how long the tag lives at least.
        soft: whether what was stored under it stays usable as stale.
        channel: where to tell other processes; empty to tell nobody.
    """
    return _TAG_INVALIDATE.command((tag,), (nonce, milliseconds(seconds), int(soft), channel))
