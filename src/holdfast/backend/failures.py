"""What can go wrong between us and Redis, and the one place where it becomes an error of ours.

A connection fails in one of these ways, and what may be done next depends on which:

    refused   no connection could be made          nothing was sent; not worth an immediate second try
    lost      an open connection broke             a repeatable command may be re-sent; others only if nothing was sent
    timeout   no reply in time                     the command may have run, or may run later; never re-sent; trips
                                                   the breaker at once: Redis has one thread, so all would wait
    late      the caller's patience is over        as after a timeout, but others may be more patient: it counts once
    open      the circuit breaker let nothing by   nothing was sent
    closed    the layer was closed                 nothing was sent
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import redis.exceptions
from hiredis import ReplyError

from holdfast.backend.deadline import Deadline
from holdfast.commands import Command, Reply
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable

How = Literal["refused", "lost", "timeout", "late", "open", "closed"]

_MEANING: Final = {
    "refused": "cannot be reached",
    "lost": "closed the connection before it answered",
    "timeout": "did not answer in time",
    "late": "did not answer within the patience of its caller",
    "closed": "is not used any more: the layer is closed, open a new one",
    "open": "failed repeatedly and is not asked again yet (circuit breaker open)",
}


class WireBroken(Exception):  # noqa: N818 - says what happened
    """A connection could not carry a command. It stays inside the backend."""

    def __init__(self, how: How, *, sent: bool, detail: str = "", fair: bool = True) -> None:
        super().__init__(how, detail)
        self.how: How = how
        self.sent = sent
        """Whether the server may have executed something."""
        self.detail = detail
        self.fair = fair
        """Whether it speaks against the server. A caller in a hurry may have given it no chance."""

    def may_resend(self, command: Command) -> bool:
        """Say whether sending `command` once more on a new connection is safe and promising."""
        return self.how == "lost" and (command.repeatable or not self.sent)


def as_error(broken: WireBroken, server: str, command: Command) -> BackendError:
    """Return the error that a caller sees for a broken connection."""
    doubt = "; the command may have been executed" if broken.sent and not command.repeatable else ""
    detail = f" ({broken.detail})" if broken.detail else ""
    message = f"{command.name}: Redis at {server} {_MEANING[broken.how]}{detail}{doubt}"
    error = (BackendTimeout if broken.how in _TIMES_OUT else BackendUnavailable)(message)
    error.is_final = broken.how == "closed"
    error.was_sent = broken.sent
    return error


_TIMES_OUT: Final = frozenset({"timeout", "late"})


def too_late(deadline: Deadline, *, sent: bool, fair: bool) -> WireBroken:
    """Return what a caller is told whose deadline is over."""
    return WireBroken("late", sent=sent, detail=f"{deadline.granted:.3g} s", fair=fair)


def connect_failure(error: Exception) -> Exception:
    """Return what a failed connect means: a broken wire, or an error that another try would not cure.

    What a credential provider raises comes here too; its message may hold a secret, so only its class is told.
    """
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError):
        return BackendError("Redis refused the credentials: check the user name and password in the URL")
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return WireBroken("refused", sent=False, detail="it is loading its data")
    if isinstance(error, redis.exceptions.ResponseError):
        return BackendError(f"Redis refused the connection: {first_words(str(error))}")
    if isinstance(error, redis.exceptions.TimeoutError | TimeoutError):
        return WireBroken("timeout", sent=False, detail="while connecting")
    return WireBroken("refused", sent=False, detail=type(error).__name__)


_UNAVAILABLE: Final = {
    "LOADING": "it is loading its data",
    "MASTERDOWN": "its primary is down",
    "CLUSTERDOWN": "the cluster is down",
    "TRYAGAIN": "slots are being moved",
    "READONLY": "it is a replica, and no primary was found",
    "BUSY": "it is busy running a script",
    "UNBLOCKED": "it stopped being the primary",
}
_ADVICE: Final = {
    "OOM": "it is out of memory: raise maxmemory or set an eviction policy",
    "MISCONF": "it refuses writes because it cannot save to disk",
    "NOREPLICAS": "it refuses writes because too few replicas are connected",
    "NOAUTH": "it wants a password: put one into the URL",
    "WRONGPASS": "it refused the credentials: check the user name and password in the URL",
    "NOPERM": "the user's ACL does not allow it: check its commands, its keys, and the channels of the news",
    "WRONGTYPE": "the key holds another type of value: somebody else writes to it",
    "CROSSSLOT": "its keys lie in several slots of the cluster",
}


_ELSEWHERE: Final = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY"})


def find_move(replies: Sequence[Reply]) -> ReplyError | None:
    """Return the first error reply which says that another server is to be asked, or this one later."""
    return next((reply for reply in replies if type(reply) is ReplyError and code_of(reply) in _ELSEWHERE), None)


def as_moved(reply: ReplyError, server: str, command: Command) -> BackendError:
    """Return the error for each of several commands that were to be executed at one place, of which one was refused."""
    what = f"{command.name}: Redis at {server} is not the place for all of it now ({code_of(reply)})"
    return BackendUnavailable(f"{what}; some of the pipeline may have been executed; try again")


_INNER: Final = re.compile(r"@user_script: ?\d+: -?([A-Z]{3,20}) ")
"""Where Redis before 7 says of a script that failed what the refused command inside it was told."""


def _is_of_script(text: str) -> bool:
    return text.startswith("ERR Error running script")


def code_of(reply: ReplyError) -> str:
    """Return the first word of an error reply, which names its kind; of a script, the kind of what failed in it."""
    text = str(reply)
    if _is_of_script(text):
        inner = _INNER.search(text)
        return inner[1] if inner else "ERR"
    return text.split(" ", 1)[0]


def refusal(reply: ReplyError, server: str, command: Command) -> BackendError:
    """Return the error that a caller sees for an error reply."""
    code = code_of(reply)
    if code in _UNAVAILABLE:
        return BackendUnavailable(f"{command.name}: Redis at {server} cannot serve now: {_UNAVAILABLE[code]} ({code})")
    if code in _ADVICE:
        why = _ADVICE[code]
    elif str(command.words[0]).startswith(_SCRIPTS) or _is_of_script(str(reply)) or not _CODE.fullmatch(code):
        why = "the script failed; what it says is not repeated, since it may hold a value"
        code = code if _CODE.fullmatch(code) else "ERR"
    else:
        why = first_words(str(reply)).removeprefix(f"{code} ")
    return BackendError(f"{command.name}: Redis at {server} refused the command: {why} ({code})")


_SCRIPTS: Final = ("EVAL", "FCALL")
_CODE: Final = re.compile(r"[A-Z]{2,20}")
_QUOTATION: Final = re.compile(r"['`\"\n]|, with args")
"""Where an error reply begins to repeat what it was given."""


def first_words(message: str) -> str:
    """Return an error reply without what it quotes, since Redis repeats arguments, and thus values, in some of them."""
    return _QUOTATION.split(message, maxsplit=1)[0].rstrip(" :(@,")[:120]
