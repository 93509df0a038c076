"""The secrets with which a layer signs its entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.errors import ConfigurationError

_SHORTEST: Final = 16


def parse_secrets(secret: str | bytes | Sequence[str | bytes] | None) -> tuple[bytes, ...]:
    """Return the secrets of a layer as bytes, the newest first.

    Args:
        secret: text, bytes, or several of these; None for no secret.

    Raises:
        ConfigurationError: one is shorter than 16 bytes, there is none in the sequence, or it is something else. The
            message does not show it.
    """
    if secret is None:
        return ()
    given: Any = secret if isinstance(secret, list | tuple) else (secret,)
    parsed = tuple(_to_bytes(one) for one in given)
    if parsed and all(len(one) >= _SHORTEST for one in parsed):
        return parsed
    msg = (
        f"secret= must be text or bytes of at least {_SHORTEST} bytes, or a list of these, newest first; to make one: "
        'python -c "import secrets; print(secrets.token_urlsafe(32))"'
    )
    raise ConfigurationError(msg)


def _to_bytes(secret: object) -> bytes:
    """Return a secret as bytes, and anything else as none at all."""
    if isinstance(secret, str):
        return secret.encode("utf-8", "surrogatepass")
    return secret if isinstance(secret, bytes) else b""
