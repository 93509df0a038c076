"""What the modules of a package import, read from their text: nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Import:
    """One import, wherever it stands: at the top, in a function, under ``if TYPE_CHECKING``."""

    importer: str
    """The module that imports, without the name of the package: ``backend.pool``; ``""`` is the package itself."""
    line: int
    target: str
    """A module of the package, named in the same way, or the top-level name of another one."""
    is_ours: bool

    def __str__(self) -> str:
        """Return where it is and what it takes, for messages."""
        return f"{self.importer or '__init__'}:{self.line} imports {self.target or '__init__'}"


def modules_of(root: Path) -> dict[str, Path]:
    """Return the modules of the package in a folder, by name without that of the package."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(root: Path) -> list[Import]:
    """Return every import in the package in a folder."""
    modules = modules_of(root)
    return [
        _resolve(target, name, line, root.name, modules)
        for name, path in modules.items()
        for target, line in _targets(ast.parse(path.read_text(encoding="utf-8")), _package(root.name, name, path))
    ]


def find_cycle(edges: Mapping[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, the first again at the end; or nothing."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _package(package: str, name: str, path: Path) -> list[str]:
    """Return the parts of the name from which relative imports in a module count."""
    parts = [package, *(name.split(".") if name else [])]
    return parts if path.name == "__init__.py" else parts[:-1]


def _targets(tree: ast.Module, package: list[str]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{start}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"} and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value, node.lineno


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _resolve(target: str, importer: str, line: int, package: str, modules: Mapping[str, Path]) -> Import:
    first, _, rest = target.partition(".")
    if first != package:
        return Import(importer, line, first, is_ours=False)
    while rest and rest not in modules:  # the last part may be a name in a module
        rest = rest.rpartition(".")[0]
    return Import(importer, line, rest, is_ours=True)
