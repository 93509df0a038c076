"""What type checkers must see of sessions in the frameworks. Checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Annotated, Any, assert_type

from fastapi import Depends, FastAPI, WebSocket
from starlette.requests import Request

import holdfast.fastapi
from holdfast import Layer, Session
from holdfast.flask import Holdfast, HoldfastSession, session
from holdfast.sessions import SessionInfo
from holdfast.starlette import session_of

layer = Layer("memory://")
api = FastAPI()


@api.get("/")
async def route(visitor: Annotated[Session, Depends(session_of)]) -> str | None:
    """A route of FastAPI."""
    assert_type(visitor.user, str | None)
    return visitor.user


@api.get("/same")
async def same(visitor: Annotated[Session, Depends(holdfast.fastapi.session_of)]) -> str:
    """The same by the other name."""
    return visitor.handle


async def endpoint(request: Request) -> None:
    """An endpoint of Starlette."""
    found = session_of(request)
    assert_type(found, Session)
    assert_type(found["cart"], Any)
    assert_type(found.handle, str)
    found.log_in("42")
    found.expire_after(idle="7d", absolute="30d")
    found.change("visits", lambda visits: visits + 1, 0)
    assert_type(await layer.sessions.alist("42"), list[SessionInfo])
    assert_type(await layer.sessions.arevoke_all("42", keep=found.handle), int)


async def socket(websocket: WebSocket) -> None:
    """A websocket."""
    assert_type(session_of(websocket), Session)


def view() -> None:
    """A view of Flask."""
    assert_type(session, HoldfastSession)
    assert_type(session.permanent, bool)
    assert_type(session.user, str | None)
    session.log_in("42")
    session.rotate()
    session["cart"] = []
    assert_type(Holdfast().layer.sessions.revoke(session.handle), bool)


def mistakes(request: Request) -> None:
    """Check that the checkers still see what is wrong: each ignore below is needed."""
    session_of(request).log_in(42)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    session_of({})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    session.log_on("42")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    session[1] = "teapot"  # type: ignore[index]  # pyright: ignore[reportArgumentType]


def add_to_cart(session: Session, product: int) -> list[int]:
    """Return what a session holds after a change, with the type that the function says."""
    return session.change("cart", lambda cart: [*cart, product], [])
