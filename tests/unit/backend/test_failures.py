"""Promises of the translation of failures: the right class, a clear message, never a value."""

from __future__ import annotations

import pytest
import redis.exceptions
from hiredis import ReplyError

from holdfast.backend.failures import How, WireBroken, as_error, connect_failure, refusal
from holdfast.commands import Command, get
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable

SECRET = "s3cret-value"
INCR = Command(("INCR", "n"), ("n",))


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("LOADING Redis is loading the dataset in memory", BackendUnavailable, "loading its data"),
        ("MASTERDOWN Link with MASTER is down", BackendUnavailable, "primary is down"),
        ("CLUSTERDOWN Hash slot not served", BackendUnavailable, "cluster is down"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", BackendUnavailable, "slots are being moved"),
        ("READONLY You can't write against a read only replica.", BackendUnavailable, "is a replica"),
        ("BUSY Redis is busy running a script.", BackendUnavailable, "busy running a script"),
        ("OOM command not allowed when used memory > 'maxmemory'.", BackendError, "out of memory"),
        ("MISCONF Redis is configured to save RDB snapshots", BackendError, "cannot save to disk"),
        ("NOREPLICAS Not enough good replicas to write.", BackendError, "too few replicas"),
        ("NOAUTH Authentication required.", BackendError, "wants a password"),
        ("WRONGPASS invalid username-password pair", BackendError, "refused the credentials"),
        ("NOPERM this user has no permissions to run the 'get' command", BackendError, "ACL"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", BackendError, "another type"),
        ("CROSSSLOT Keys in request don't hash to the same slot", BackendError, "several slots"),
        (f"ERR unknown command 'SETX', with args beginning with: 'k' '{SECRET}'", BackendError, "unknown command"),
        (f"ERR unknown command `SETX`, with args beginning with: `k`, `{SECRET}`, ", BackendError, "unknown command"),
        (f"{SECRET} thrown by a script", BackendError, "refused the command"),
        (
            "ERR Error running script (call to f_0a1b): @user_script:21: @user_script: 21: -READONLY You can't write",
            BackendUnavailable,
            "is a replica",
        ),
        (
            "ERR Error running script (call to f_0a1b): @user_script:21: @user_script: 21: -OOM command not allowed",
            BackendError,
            "out of memory",
        ),
        (f"ERR Error running script (call to f_0a1b): @user_script:2: {SECRET}", BackendError, "refused the command"),
    ],
)
def test_a_refusal_becomes_the_right_error(text: str, kind: type[BackendError], says: str) -> None:
    """Each error reply has its class; the message says what, which server, and why, and repeats no argument."""
    error = refusal(ReplyError(text), "cache:6379", INCR)
    assert type(error) is kind
    assert says in str(error)
    assert str(error).startswith("INCR: Redis at cache:6379 ")
    assert SECRET not in str(error)


@pytest.mark.parametrize("text", [f"ERR user_script:1: {SECRET}", f"ERR {SECRET}", f"{SECRET} is it", f"LOST {SECRET}"])
def test_what_a_script_says_is_not_repeated(text: str) -> None:
    """A script may put anything into an error; only its code is told."""
    error = refusal(ReplyError(text), "cache:6379", Command(("EVALSHA", "abc", 0)))
    assert "the script failed" in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("refused", BackendUnavailable, "cannot be reached"),
        ("lost", BackendUnavailable, "closed the connection"),
        ("timeout", BackendTimeout, "did not answer in time"),
        ("open", BackendUnavailable, "circuit breaker open"),
        ("closed", BackendUnavailable, "the layer is closed"),
    ],
)
def test_a_broken_connection_becomes_the_right_error(how: How, kind: type[BackendError], says: str) -> None:
    """Each way to break has its class; a command that may have been executed says so, and only such a one."""
    unsure = as_error(WireBroken(how, sent=True), "cache:6379", INCR)
    assert type(unsure) is kind
    assert says in str(unsure)
    assert "may have been executed" in str(unsure)
    assert "executed" not in str(as_error(WireBroken(how, sent=False), "cache:6379", INCR))
    assert "executed" not in str(as_error(WireBroken(how, sent=True), "cache:6379", get("k")))


@pytest.mark.parametrize(
    ("error", "how", "says"),
    [
        (redis.exceptions.TimeoutError(SECRET), "timeout", ""),
        (TimeoutError(SECRET), "timeout", ""),
        (redis.exceptions.ConnectionError(SECRET), "refused", ""),
        (redis.exceptions.BusyLoadingError(SECRET), "refused", ""),
        (OSError(SECRET), "refused", ""),
        (UnicodeError(SECRET), "refused", ""),
        (RuntimeError(SECRET), "refused", ""),
        (redis.exceptions.AuthenticationError(SECRET), None, "refused the credentials"),
        (redis.exceptions.NoPermissionError(SECRET), None, "refused the credentials"),
        (redis.exceptions.ResponseError("invalid DB index"), None, "invalid DB index"),
    ],
)
def test_a_failed_connect(error: Exception, how: str | None, says: str) -> None:
    """What the connect raised is a broken wire, or an error that no second try would cure; its text stays inside."""
    found = connect_failure(error)
    assert SECRET not in str(found)
    if how is None:
        assert type(found) is BackendError
        assert says in str(found)
    else:
        assert isinstance(found, WireBroken)
        assert (found.how, found.sent) == (how, False)
