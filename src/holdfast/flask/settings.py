"""The keys of an app's configuration that begin with HOLDFAST_, and the layer that they describe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, cast

from holdfast.errors import ConfigurationError
from holdfast.layer import Layer, LayerOptions
from holdfast.options import refuse_unknown
from holdfast.policy.quota import Quota

PREFIX: Final = "HOLDFAST_"
_KNOWN: Final = frozenset({"URL", "NAMESPACE", "SECRET", "OPTIONS", "SESSIONS", "LIMITS", "IDEMPOTENCY", "HTTP_CACHE"})


def check_names(config: Mapping[str, Any]) -> None:
    """Refuse keys of ours that there are not, since a limit with a slip in its name would be none.

    Raises:
        ConfigurationError: there is such a key.
    """
    for key in config:
        if key.startswith(PREFIX) and key.removeprefix(PREFIX) not in _KNOWN:
            msg = f"there is no {key}; there are {', '.join(PREFIX + each for each in sorted(_KNOWN))}"
            raise ConfigurationError(msg)


def layer_of(config: Mapping[str, Any]) -> Layer:
    """Return the layer that a configuration describes; what it does not say comes from the environment.

    Raises:
        ConfigurationError: it cannot work.
    """
    options = dict(_mapping(config, "OPTIONS"))
    refuse_unknown(f"{PREFIX}OPTIONS", options, LayerOptions.__optional_keys__)
    for key, option in (("NAMESPACE", "namespace"), ("SECRET", "secret")):
        if config.get(PREFIX + key) is not None:
            options[option] = config[PREFIX + key]
    url = config.get(f"{PREFIX}URL")
    if url is None:
        return Layer.from_env(**options)
    options.setdefault("namespace", os.environ.get("HOLDFAST_NAMESPACE", ""))
    return Layer(url, **options)


def part_of(config: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """Return the options of a part that is switched on; None of one that is not.

    Args:
        config: of the app.
        key: without the prefix.

    Raises:
        ConfigurationError: it is neither a switch nor a dict of options.
    """
    given = config.get(PREFIX + key)
    if given is None or given is False:
        return None
    if given is True:
        return {}
    if key == "LIMITS" and isinstance(given, str | Quota | list | tuple):
        return {"quota": given}
    return dict(_mapping(config, key))


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    given: Any = config.get(PREFIX + key)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        msg = f"{PREFIX}{key} must be a dict of options, not {type(given).__name__}"
        raise ConfigurationError(msg)
    return cast("Mapping[str, Any]", given)
