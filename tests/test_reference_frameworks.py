"""The reference of what is for frameworks is in step with the code."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Final

import holdfast.django
import holdfast.fastapi
import holdfast.flask
import holdfast.starlette
from holdfast.flask import settings
from support.pages import rows_of

DOCS: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = (DOCS / "reference" / "frameworks.md").read_text(encoding="utf-8")


def test_every_public_name_is_described() -> None:
    """What can be imported from the four modules is on the page."""
    modules = (holdfast.flask, holdfast.starlette, holdfast.fastapi, holdfast.django)
    names = {name for module in modules for name in module.__all__} - {"Lifespan"}
    assert [name for name in sorted(names) if f"`{name}" not in PAGE] == []


def test_every_option_of_a_limit_has_its_default() -> None:
    """As the function has it."""
    rows = rows_of(PAGE.split("### Options of limit")[1].split("\n## ")[0])
    options = [each for each in inspect.signature(holdfast.fastapi.limit).parameters.values() if each.name != "quota"]
    assert rows == {each.name: repr(each.default) for each in options}


def test_every_key_of_the_configuration_is_in_the_guide() -> None:
    """And no other."""
    rows = rows_of((DOCS / "guides" / "flask.md").read_text(encoding="utf-8"))
    assert {key for key in rows if key.startswith(settings.PREFIX)} == {
        settings.PREFIX + key for key in settings._KNOWN
    }
