"""Pydantic models: alone, in containers and inside other types, they come back equal and of the same type."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import pydantic
import pytest

from holdfast import _typed
from holdfast.codec import Codec
from holdfast.errors import ConfigurationError, SerializationError
from holdfast.serializers import Serializers

T = TypeVar("T")
FACTS: dict[str, Any] = {"id": "i" * 32, "created": 100.0, "fresh_until": 200.0, "load_time": 0.5}
ZONE = dt.timezone(dt.timedelta(hours=5, minutes=30))
ID = uuid.UUID(int=7)


class Size(enum.StrEnum):
    SMALL = "s"


class Item(pydantic.BaseModel):
    id: int
    price: Decimal
    ids: set[uuid.UUID] = set()


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")
    created: dt.datetime
    pair: tuple[int, str]
    size: Size = Size.SMALL

    @pydantic.computed_field
    def year(self) -> int:
        return self.created.year


class Aliased(pydantic.BaseModel):
    one: int = pydantic.Field(alias="theOne")
    two: int = pydantic.Field(validation_alias="in", serialization_alias="out")
    nested: list[Item] = pydantic.Field(default=[], alias="theNested")


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"


class Many(pydantic.RootModel[list[int]]):
    pass


class Special(Item):
    more: int


class Hidden(pydantic.BaseModel):
    password: pydantic.SecretStr


class Raw(pydantic.BaseModel):
    data: bytes


@pydantic.dataclasses.dataclass
class Checked:
    id: int = pydantic.Field(gt=0)


@dataclass
class Order:
    item: Item
    placed: dt.datetime
    more: dict[str, Item | None] = field(default_factory=dict)


ITEM = Item(id=1, price=Decimal("9.90"), ids={ID})
STRICT = Strict(created=dt.datetime(2024, 5, 1, 12, tzinfo=ZONE), pair=(1, "a"))
ALIASED = Aliased.model_validate({"theOne": 1, "in": 2, "theNested": [ITEM]})

BY_NAME = pytest.mark.skipif(not _typed._by_name(), reason="pydantic before 2.11 validates by alias only")
CASES: list[Any] = [
    (Item, ITEM),
    (list[Item], [ITEM, ITEM]),
    (dict[str, Item], {"a": ITEM}),
    (dict[int, Item], {1: ITEM}),
    (tuple[Item, ...], (ITEM,)),
    (Item | None, ITEM),
    (Item | None, None),
    (Strict, STRICT),
    (list[Strict | None], [STRICT, None]),
    pytest.param(Aliased, ALIASED, marks=BY_NAME),
    (Page[Item], Page[Item](items=[ITEM])),
    (Many, Many([1, 2])),
    (Cat | Dog, Dog()),
    (Annotated[Cat | Dog, pydantic.Field(discriminator="kind")], Dog()),
    (Checked, Checked(1)),
    (Order, Order(ITEM, dt.datetime(2024, 1, 1), {"a": ITEM, "b": None})),
    (list[Order], [Order(ITEM, dt.datetime(2024, 1, 1))]),
    (dict[str, tuple[Strict, int]], {"a": (STRICT, 1)}),
]


def round_trip(name: str, kind: Any, value: Any) -> Any:
    """Return what a hit gives, after checking that a miss gives the same."""
    codec = Codec(Serializers(), name, kind)
    raw, copy = codec.encode_checked("k", value, **FACTS)
    hit = codec.value(codec.open("k", raw))
    assert type(hit) is type(copy)
    return hit


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize(("kind", "value"), CASES, ids=str)
def test_a_model_comes_back_as_what_it_was(name: str, kind: Any, value: Any) -> None:
    """Strict or not, with aliases, generic, in unions, in containers, and inside a dataclass."""
    hit = round_trip(name, kind, value)
    assert type(hit) is type(value)
    assert hit == value


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Any, ITEM),
        (Item, {"id": 1, "price": 2}),
        (list[Item], [STRICT]),
        (Item, Special(id=1, price=Decimal(1), more=2)),
        (Hidden, Hidden(password=pydantic.SecretStr("hunter2"))),
        (Raw, Raw(data=b"\xff")),
        (Order, Order(STRICT, dt.datetime(2024, 1, 1))),  # type: ignore[arg-type]
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_a_model_that_would_change_is_refused(name: str, kind: Any, value: Any) -> None:
    """What pydantic hides, cuts off or cannot write shows at the first call, without the value."""
    with pytest.raises(SerializationError) as caught:
        round_trip(name, kind, value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_a_model_or_something_else_is_refused_when_decorating(name: str) -> None:
    """Which of the two the data is cannot be told."""
    with pytest.raises(ConfigurationError, match=r"(?s)custom type.*annotate the function"):
        Codec(Serializers(), name, Item | int)


@BY_NAME
def test_json_of_models_is_plain_json() -> None:
    """Other programs can read it: fields by their names, nothing escaped twice."""
    codec = Codec(Serializers(), "json", list[Aliased])
    frame = codec.open("k", codec.encode("k", [ALIASED], **FACTS))
    assert frame.payload == (
        b'[{"one":1,"two":2,"nested":[{"id":1,"price":"9.90","ids":["00000000-0000-0000-0000-000000000007"]}]}]'
    )


def test_an_older_pydantic_stores_models_by_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.11 models cannot be validated by name, so they are written the way they are read."""
    monkeypatch.setattr(_typed, "_by_name", lambda: False)
    value = Aliased.model_validate({"theOne": 1, "in": 2})
    with pytest.raises(SerializationError, match="would not give back"):
        round_trip("json", Aliased, value)
    assert round_trip("json", list[Item], [ITEM]) == [ITEM]
