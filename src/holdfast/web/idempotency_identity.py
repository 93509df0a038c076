"""Whose an idempotency key is, as long as the app does not say so itself."""

from __future__ import annotations

from typing import Any, Final

from holdfast.policy.idempotency import digest_of, told_cookies
from holdfast.web.requests import WebRequest

CREDENTIALS: Final = (
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-access-token",
    "x-forwarded-user",
    "remote-user",
)
"""Fields in which clients, and the gateways in front of an app, say who they are."""


def default_identity(request: WebRequest, user: str | None = None) -> str:
    """Return a digest of all that a client shows of itself: its credentials, and its session or else its cookies.

    A session of ours stands for its user, or for itself as long as nobody has logged in: its cookie may change between
    a request and its repetition. Everything counts, since what is left out could be what tells two clients apart. Those
    who show nothing at all have the same digest.

    Args:
        request: of the client.
        user: who it is, as whatever stands outside has found out; None if nobody has.
    """
    session = request.find("session")
    owner, handle = getattr(session, "user", None), getattr(session, "handle", None)
    if isinstance(owner, str) and isinstance(handle, str):
        known = f"user:{owner}"
    elif isinstance(handle, str) and handle:
        known = f"session:{handle}"
    else:
        known = f"cookies:{told_cookies(request.get('cookie') or '')}"
    shown = [f"{name}:{value}" for name in CREDENTIALS if (value := request.get(name))]
    return digest_of(known, "" if user is None else f"user:{user}", *shown)


def name_of_user(user: Any) -> str | None:
    """Return what a user is called that an outer middleware has found; None for one who is not logged in.

    Starlette and Django have such users. One who has no name there is known by what his request shows.
    """
    if getattr(user, "is_authenticated", False) is not True:
        return None
    for attribute in ("pk", "identity", "display_name", "username"):
        try:
            name = getattr(user, attribute, None)
        except NotImplementedError:  # as Starlette's base class does
            continue
        if isinstance(name, str | int) or (attribute == "pk" and name is not None):
            return f"{attribute}:{name}"
    return None
