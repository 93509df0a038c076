"""The one object that every contender returns, and the loader that must not run while hits are measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Product: TypeAlias = dict[str, Any]

PRODUCT: Final[Product] = {
    "id": 48213,
    "sku": "LMP-48213-BRS",
    "name": "Adjustable brass desk lamp",
    "category": {"id": 7, "name": "Lighting"},
    "price": "89.90",
    "currency": "EUR",
    "stock": 13,
    "rating": 4.6,
    "reviews": 21,
    "active": True,
    "tags": ["brass", "desk", "dimmable"],
    "description": "Heavy base, long arm and a warm light; the shade turns and tilts.",
    "updated": "2026-03-14T09:26:53Z",
}
"""An ordinary row of a catalogue: 342 bytes as compact JSON."""

SIZE: Final = len(json.dumps(PRODUCT, separators=(",", ":")))
IDS: Final = range(64)
"""The entries that are kept warm. Each holds the same object under its own key."""
TTL: Final = 3600
"""Seconds; far longer than a run, so that nothing expires in it."""


@dataclass(slots=True)
class Source:
    """Stands for the database, and counts how often it was asked."""

    loads: int = 0

    def load(self) -> Product:
        """Return a fresh copy of the product."""
        self.loads += 1
        return {**PRODUCT, "category": dict(PRODUCT["category"]), "tags": list(PRODUCT["tags"])}
