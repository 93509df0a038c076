"""The whole error tree, and nothing else.

    HoldfastError
    ├── ConfigurationError (also ValueError)   raised when decorating or constructing
    ├── BackendError                           Redis refused, or cannot be reached
    │   ├── BackendUnavailable                 no connection, or a server that cannot serve now
    │   └── BackendTimeout                     no answer in time; the command may have run
    ├── SerializationError                     a value cannot be stored, or would not come back as it was
    ├── LoadTimeout (also TimeoutError)        a value was not loaded in time, here or by another process
    ├── RateLimited                            a quota refused the call
    ├── LockError
    │   ├── LockNotAcquired
    │   │   └── LockNotReplicated              it is free, but too few replicas have it
    │   └── LockLost
    ├── IdempotencyError                       what is to be done once is not done by this call
    │   ├── AlreadyRunning
    │   └── KeyReused
    ├── SessionError
    └── StreamError

Messages say what failed, for which key, and what to do. They never hold a stored value or a secret.
"""

from __future__ import annotations

from typing import Any


class HoldfastError(Exception):
    """Base of every error that holdfast raises on purpose."""


class ConfigurationError(HoldfastError, ValueError):
    """A URL, an option or a decorated function that cannot work; the message says what to change."""


class BackendError(HoldfastError):
    """Redis answered with an error, or did not answer at all."""

    is_final: bool = False
    """Whether trying again is of no use, since the layer is closed."""
    was_sent: bool = True
    """Whether the command may have been sent, and so be executed, also later."""


class BackendUnavailable(BackendError):  # noqa: N818 - the name says what is the matter
    """Redis cannot be reached, or says that it cannot serve now (loading, failing over, cluster down)."""


class BackendTimeout(BackendError):  # noqa: N818 - the name says what happened
    """Redis did not answer in time. The command may or may not have been executed."""


class SerializationError(HoldfastError):
    """A value cannot be stored by this serializer, or would not come back equal to what it was."""


class LoadTimeout(HoldfastError, TimeoutError):  # noqa: N818 - the name says what happened
    """A value was not there in time: its function took longer than `hard_timeout`, or another's load than `wait`.

    The load goes on and is stored when it ends.
    """


class RateLimited(HoldfastError):  # noqa: N818 - the name says what happened to the call, as HTTP 429 does
    """A quota refused the call.

    Attributes:
        decision: the `LimitDecision` that refused, with the time to wait. Nothing here knows decisions, hence `Any`.
    """

    def __init__(self, decision: Any, what: str = "rate limit exceeded") -> None:
        super().__init__(decision, what)
        self.decision: Any = decision
        self._what = what

    def __str__(self) -> str:
        # Not before somebody wants to read it: whoever hammers at a limit makes many of these.
        return f"{self._what}: {getattr(self.decision, 'advice', 'try again later')}"


class LockError(HoldfastError):
    """Base of the errors of locks."""


class LockNotAcquired(LockError):  # noqa: N818 - reads as what happened
    """Others held the lock for as long as we were ready to wait, we hold it ourselves, or too few replicas have it."""


class LockNotReplicated(LockNotAcquired):
    """The lock is free, but fewer replicas than `min_replicas` took it over in time. It was given back."""


class LockLost(LockError):  # noqa: N818 - reads as what happened
    """The lease ran out or was taken away while the lock was believed to be held."""


class IdempotencyError(HoldfastError):
    """What is to be done once is done, and its result was not kept; and the base of the two below."""


class AlreadyRunning(IdempotencyError):  # noqa: N818 - reads as what happened
    """An earlier call with the same key was still running when the caller was no longer ready to wait."""


class KeyReused(IdempotencyError):  # noqa: N818 - reads as what happened
    """The key stands for something else: another function, or the same one with another fingerprint."""


class SessionError(HoldfastError):
    """A session cannot be read or written safely."""


class StreamError(HoldfastError):
    """A stream, consumer or message is not in the state that the call needs."""
