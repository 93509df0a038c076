"""The commands of what is to be done once: begun, kept, finished, or freed.

Each function returns the call of one script; the headers of the ``.lua`` files have the replies, and the reasons. Here
are no decisions and no names: keys and channels come in whole, times in seconds.
"""

from __future__ import annotations

from typing import Final

from holdfast.commands import Command, milliseconds
from holdfast.scripts import Script, compose


def _script(name: str, *parts: str, repeatable: bool = True) -> Script:
    return compose(f"once_{name}", (*parts, f"idempotency/{name}"), repeatable=repeatable)


_LEASED: Final = ("locks/clock", "idempotency/record")
_BEGIN: Final = _script("begin", *_LEASED)
_KEEP: Final = _script("keep", *_LEASED)
_FINISH: Final = _script("finish")
_FREE: Final = _script("free", repeatable=False)


def begin(key: str, *, token: str, fingerprint: str, seconds: float) -> Command:
    """Begin what is to be done once, under a lease of `seconds`.

    Returns:
        The command; its reply is ``[1, fencing token]`` if it may be done now, ``[0, milliseconds]`` while another is
        at it, ``[2, result]`` if it is done, and ``[3]`` if the key stands for something else.
    """
    return _BEGIN.command((key,), (token, fingerprint, milliseconds(seconds)))


def keep(key: str, *, token: str, seconds: float) -> Command:
    """Renew a lease for `seconds` from now; the reply is 1, or 0 if it is lost, or done."""
    return _KEEP.command((key,), (token, milliseconds(seconds)))


def finish(key: str, *, token: str, fingerprint: str, result: bytes, seconds: float, news: str) -> Command:
    """Store a result for `seconds`, and tell who waits; the reply is 1, or 0 if another has begun since.

    Args:
        key: of the record.
        token: whose result it is.
        fingerprint: of what was asked for.
        result: what comes back later; empty if it is done, but nothing is kept.
        seconds: for which it is kept.
        news: the channel that tells of it.
    """
    return _FINISH.command((key,), (token, fingerprint, result, milliseconds(seconds), news))


def free(key: str, *, token: str, news: str) -> Command:
    """Forget what came to nothing, and tell who waits; the reply is 1, or 0 if there is nothing of this token.

    It is not marked as repeatable, since a second execution says that there was nothing. It harms nothing.
    """
    return _FREE.command((key,), (token, news))
