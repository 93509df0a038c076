"""The layers hold: who may import whom, checked on every import in the text of every module.

A module imports from a lower level, or from its own level in its own package, and never in a circle. Give a new
module its level in `LEVELS`; a package's level holds for all that is in it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from support.imports import Import, find_cycle, imports_of, modules_of

SOURCE: Final = Path(__file__).parents[1] / "src" / "holdfast"

LEVELS: Final[Mapping[str, int]] = {
    **dict.fromkeys(["_missing", "_version", "errors", "events", "typing"], 0),
    **dict.fromkeys(["_calls", "_copies", "_current", "_durations", "_flight", "_flights", "_forks", "_near"], 1),
    **dict.fromkeys(["_forgotten", "_lobby", "_orphans", "_renewals", "_turns", "commands", "port"], 1),
    **dict.fromkeys(["policy", "scripts"], 2),
    **dict.fromkeys(["_annotations", "_cached_errors", "_formats", "_secrets", "_tagged", "_typed"], 3),
    **dict.fromkeys(["_denials", "_local_limits", "_local_slots"], 3),
    **dict.fromkeys(["codec", "compression", "serializers"], 3),
    **dict.fromkeys(["key_arguments", "key_binding", "key_requests", "key_templates", "keybuilders"], 3),
    **dict.fromkeys(["backend", "core"], 4),
    **dict.fromkeys(["cache", "cached", "cached_many", "defaults", "engine", "http_cache", "layer"], 5),
    **dict.fromkeys(["options", "wrapped"], 5),
    **dict.fromkeys(["idempotent", "idempotent_calls", "limit_rules", "limit_slots", "limited", "limiter"], 5),
    **dict.fromkeys(["call_names", "entered", "lock_blocks", "lock_handles", "lock_several", "lock_terms"], 5),
    **dict.fromkeys(["locked", "locks", "redlock", "response_fields", "response_tags", "sessions"], 5),
    **dict.fromkeys(["decorators", "entries", "entries_many", "web"], 6),
    **dict.fromkeys(["asgi", "wsgi"], 7),
    **dict.fromkeys(["demo", "django", "doctor", "fastapi", "flask", "responses", "starlette", "testing"], 8),
    **dict.fromkeys(["", "__main__", "cli"], 9),
}
FRAMEWORKS: Final = {"asgiref", "django", "fastapi", "flask", "httpx", "starlette", "uvicorn", "waitress", "werkzeug"}
CLIENTS: Final = {"fakeredis", "hiredis", "lupa", "redis"}
WORLD: Final = {"asyncio", "concurrent", "random", "secrets", "select", "socket", "subprocess", "threading", "time"}
LONGEST_FILE: Final = 400
LONGEST_FUNCTION: Final = 60
_FUNCTION: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def package_of(module: str) -> str:
    """Return the sub-package that a module is in, or is; nothing for a module at the top."""
    first = module.partition(".")[0]
    return first if (SOURCE / first).is_dir() or "." in module else ""


def level_of(module: str) -> int | None:
    """Return the level of a module: its own, or that of its package."""
    return LEVELS.get(module, LEVELS.get(module.partition(".")[0]))


def violations(root: Path) -> Iterator[str]:
    """Return what is wrong with the imports of the package in a folder, one sentence each."""
    for module in modules_of(root):
        if level_of(module) is None:
            yield f"{module} has no level: add it to LEVELS in {Path(__file__).name}, as low as its imports allow"
    same_level: dict[str, set[str]] = defaultdict(set)
    for each in imports_of(root):
        wrong = _wrong_with_ours(each) if each.is_ours else _wrong_with_others(each)
        if wrong:
            yield f"{each}: {wrong}"
        if each.is_ours and level_of(each.importer) == level_of(each.target):
            same_level[each.importer].add(each.target)
    if cycle := find_cycle(same_level):
        yield f"modules import each other in a circle: {' -> '.join(cycle)}"


def _wrong_with_ours(each: Import) -> str:
    importer, target = level_of(each.importer), level_of(each.target)
    if importer is None or target is None:
        return ""
    if target > importer:
        return f"level {importer} may not see level {target}"
    if target == importer and package_of(each.importer) != package_of(each.target):
        return f"two packages of level {importer} may not see each other"
    return ""


def _wrong_with_others(each: Import) -> str:
    package, level = package_of(each.importer), level_of(each.importer)
    if each.target in CLIENTS and package != "backend":
        return "only backend/ may know how Redis is reached"
    if each.target in WORLD and package in {"core", "policy"}:
        return f"{package}/ gets clocks, chance, threads and loops from its port or not at all"
    carried = {"starlette", "werkzeug"} if package == "web" else set()
    if each.target in FRAMEWORKS - carried and level is not None and level < 7:
        return "frameworks begin at level 7"
    return ""


def too_long(root: Path) -> Iterator[str]:
    """Return the files and functions of a package that nobody can read at a glance."""
    for module, path in modules_of(root).items():
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > LONGEST_FILE:
            yield f"{module} has {lines} lines, more than {LONGEST_FILE}: split it"
        functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, _FUNCTION))
        for function in functions:
            if (lines := _lines_of(function)) > LONGEST_FUNCTION:
                yield f"{module}.{function.name} has {lines} lines, more than {LONGEST_FUNCTION}: split it"


def _lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring, which may be as long as users need."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= (function.body[0].end_lineno or 0) - function.body[0].lineno + 1
    return lines


def test_every_import_obeys_the_layers() -> None:
    """Every module has a level, nobody looks up, no circles, and the outside is met where it belongs."""
    assert list(violations(SOURCE)) == []


def test_files_and_functions_can_be_read_at_a_glance() -> None:
    """No file and no function of the package is longer than its hard ceiling."""
    assert list(too_long(SOURCE)) == []


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Make a small package that obeys all rules."""
    root = tmp_path / "holdfast"
    for folder in (root / "core", root / "backend", root / "web"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
    (root / "__init__.py").write_text("from holdfast.layer import Layer\n")
    (root / "errors.py").write_text("")
    (root / "port.py").write_text("from holdfast.errors import Wrong\n")
    (root / "layer.py").write_text("from holdfast import core\nfrom holdfast.backend import pool\n")
    (root / "core" / "caching.py").write_text("from datetime import time\nfrom holdfast.core.plan import Plan\n")
    (root / "core" / "plan.py").write_text("from holdfast.port import Port\n")
    (root / "backend" / "pool.py").write_text("import redis.asyncio\nimport time\n")
    (root / "web" / "forms.py").write_text("from werkzeug.datastructures import Headers\n")
    return root


def test_a_package_that_obeys_passes(planted: Path) -> None:
    """The checker does not cry without need."""
    assert list(violations(planted)) == []


@pytest.mark.parametrize(
    ("module", "text", "complaint"),
    [
        ("errors", "from holdfast.port import Port", "errors:1 imports port: level 0 may not see level 1"),
        ("errors", "import holdfast.layer", "level 0 may not see level 5"),
        ("port", "def f():\n    from holdfast import layer", "port:2 imports layer: level 1 may not see level 5"),
        ("port", "if TYPE_CHECKING:\n    from . import layer", "port:2 imports layer: level 1 may not see level 5"),
        ("port", "from holdfast import Layer", "port:1 imports __init__: level 1 may not see level 9"),
        ("port", "import_module('holdfast.layer')", "port:1 imports layer: level 1 may not see level 5"),
        ("core/plan", "from ..backend.pool import Pool", "core.plan:1 imports backend.pool: two packages of level 4"),
        ("core/plan", "from holdfast.core import caching", "in a circle"),
        ("core/plan", "from .caching import Caching", "in a circle"),
        ("core/plan", "import asyncio.events", "core.plan:1 imports asyncio: core/ gets clocks"),
        ("core/plan", "from time import monotonic", "core.plan:1 imports time: core/ gets clocks"),
        ("core/plan", "import threading", "core.plan:1 imports threading: core/ gets clocks"),
        ("core/plan", "import redis", "only backend/ may know how Redis is reached"),
        ("layer", "from fakeredis import FakeServer", "layer:1 imports fakeredis: only backend/"),
        ("layer", "from hiredis import Reader", "layer:1 imports hiredis: only backend/"),
        ("layer", "from starlette.types import ASGIApp", "layer:1 imports starlette: frameworks begin at level 7"),
        ("web/forms", "import flask", "web.forms:1 imports flask: frameworks begin at level 7"),
        ("novel", "", "novel has no level: add it to LEVELS"),
    ],
)
def test_the_checker_finds_a_planted_violation(planted: Path, module: str, text: str, complaint: str) -> None:
    """Each rule, broken once, is found, with the place."""
    (planted / f"{module}.py").write_text(text + "\n")
    (found, *rest) = violations(planted)
    assert complaint in found
    assert rest == []


def test_the_checker_finds_what_is_too_long(planted: Path) -> None:
    """A file and a function over their ceilings are both named."""
    docstring = '    """Many\n    words."""\n'
    allowed, too_much = ("    pass\n" * (LONGEST_FUNCTION - each) for each in (1, 0))
    text = f"def short():\n{docstring}{allowed}\ndef long():\n{docstring}{too_much}" + "\n" * LONGEST_FILE
    (planted / "port.py").write_text(text)
    assert [each.split(",")[0] for each in too_long(planted)] == ["port has 526 lines", "port.long has 61 lines"]
