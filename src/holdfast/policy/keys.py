"""Keys in Redis: ``namespace:kind:{name}[:part]``.

The braces mark the cluster's hash tag: it is the name and nothing else, so that all keys of one entry share a slot.
That holds because neither the namespace nor the kind nor the name can contain a brace, and a name is never empty.

What stands for what: `escape` and `guard` for text, `text_of` and `canonical` for values, `entry_key` for whole keys.
"""

from __future__ import annotations

import re
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.policy.key_canonical import canonical
from holdfast.policy.key_text import escape, protect, shorten
from holdfast.policy.key_values import text_of

__all__ = ["canonical", "check_namespace", "entry_key", "escape", "guard", "shorten", "text_of"]

_LONGEST_NAMESPACE: Final = 100
_unfit_for_namespace: Final = re.compile(r"[{}\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_namespace(text: str) -> str:
    """Return a namespace, if it can stand in front of every key; empty text means none.

    Raises:
        ConfigurationError: not text, too long, or with a brace (it would move the hash tag) or a control character.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - settings come from untyped sources
        msg = f"namespace must be text, not {type(text).__name__}"
        raise ConfigurationError(msg)
    if _unfit_for_namespace.search(text):
        msg = f"namespace={text!r} has a brace or a control character: use letters, digits and signs such as '-' or ':'"
        raise ConfigurationError(msg)
    if len(text.encode()) > _LONGEST_NAMESPACE:
        msg = f"namespace of {len(text.encode())} bytes is too long: it stands in every key, so keep it to 100"
        raise ConfigurationError(msg)
    return text


def entry_key(namespace: str, kind: str, name: str, part: str = "") -> str:
    """Return the key in Redis of one entry, or of one part of it.

    Args:
        namespace: as `check_namespace` returned it.
        kind: what the key is for: ``"cache"``, ``"tag"``, ``"lease"`` ...
        name: escaped and shortened, as `guard` and compiled keys return it.
        part: which of several keys of the entry.

    Example:
        >>> entry_key("shop", "cache", "product:7")
        'shop:cache:{product:7}'
    """
    key = f"{namespace}:{kind}:{{{name}}}" if namespace else f"{kind}:{{{name}}}"
    return f"{key}:{part}" if part else key


def guard(name: str, source: str = "key", suffix: str = "") -> str:
    """Return the name of an entry from a whole name that a caller or a callable gave.

    ``:``, ``,`` and ``=`` are kept, so that ``"product:7"`` names the entry that the template
    ``"product:{product_id}"`` makes of 7. All else that `escape` encodes is encoded here too.

    Args:
        name: the name as given.
        source: who gave it, for the error message.
        suffix: a version, marked and escaped.

    Raises:
        ConfigurationError: the name is not text, or is empty.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f"{source} must be text, not {type(name).__name__}"
        raise ConfigurationError(msg)
    if not name:
        msg = f"{source} is empty: give a name"
        raise ConfigurationError(msg)
    return shorten(protect(str.__str__(name)) + suffix)  # a member of a text Enum stands for its text
