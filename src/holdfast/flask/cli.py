"""``flask holdfast``: what an administrator does to an app's layer."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click
from flask import current_app
from flask.cli import AppGroup

from holdfast._calls import drive
from holdfast.commands import ping
from holdfast.errors import HoldfastError
from holdfast.flask.settings import part_of
from holdfast.http_cache import NAMESPACE
from holdfast.layer import Layer


def commands() -> AppGroup:
    """Return the group of commands; they run in the context of the app."""
    group = AppGroup("holdfast", help="What holdfast keeps in Redis for this app.")
    for name, function in _COMMANDS.items():
        group.command(name)(_told(function))
    return group


def _told(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(**given: Any) -> None:
        layer: Layer = current_app.extensions["holdfast"]
        try:
            function(layer, **given)
        except HoldfastError as error:
            raise click.ClickException(str(error)) from None

    return run


def _ping(layer: Layer) -> None:
    """Ask Redis whether it answers."""
    begun = time.perf_counter()
    drive(layer.engine.blocking.call(ping()))
    click.echo(f"{layer!r} answered in {(time.perf_counter() - begun) * 1000:.1f} ms")


@click.argument("tags", nargs=-1, required=True)
@click.option("--soft", is_flag=True, help="Let entries with a grace be served while they are refreshed.")
def _invalidate(layer: Layer, tags: tuple[str, ...], soft: bool) -> None:
    """Invalidate all entries and responses that carry one of these tags."""
    layer.cache.invalidate_tags(*tags, soft=soft)
    click.echo(f"invalidated {', '.join(tags)}")


@click.argument("urls", nargs=-1, required=True)
def _purge(layer: Layer, urls: tuple[str, ...]) -> None:
    """Remove the stored responses of absolute URLs."""
    options = part_of(current_app.config, "HTTP_CACHE") or {}
    namespace, ignored = options.get("namespace", NAMESPACE), options.get("ignore_query", ())
    count = layer.http_cache.purge(*urls, namespace=namespace, ignore_query=ignored)
    click.echo(f"purged {count} of {len(urls)}")


@click.argument("user")
def _sessions(layer: Layer, user: str) -> None:
    """List the sessions of a user."""
    found = layer.sessions.list(user)
    for each in found:
        click.echo(f"{each.handle}  created {_time(each.created)}  seen {_time(each.seen)}")
    click.echo(f"{len(found)} in all")


@click.argument("user")
@click.option("--keep", default="", metavar="HANDLE", help="A session that stays.")
def _revoke(layer: Layer, user: str, keep: str) -> None:
    """End the sessions of a user, wherever that is logged in."""
    click.echo(f"ended {layer.sessions.revoke_all(user, keep=keep)}")


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(" ", "seconds")


_COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "ping": _ping,
    "invalidate": _invalidate,
    "purge": _purge,
    "sessions": _sessions,
    "revoke": _revoke,
}
