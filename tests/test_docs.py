"""The documentation is true: its snippets run, its links lead somewhere, its README has the right shape."""

from __future__ import annotations

import doctest
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from support.pages import anchors_of, blocks_of, headings_of, links_of
from support.programs import oldest
from support.standalone import Standalone

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
SOURCE: Final = ROOT / "src"
README: Final = ROOT / "README.md"
PAGES: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
RUN: Final = [page for page in PAGES if page == README or DOCS in page.parents]
"""Those whose Python is for readers; CONTRIBUTING.md shows a test, which runs as a test."""
_NOT_FOR_READERS: Final = ("holdfast_", "pytest_", "http_proxy", "all_proxy")

GOOD: Final = """
```python
import asyncio

if True:
    [1, 2]  # -> [1, ...]
int("x")  # raises ValueError: invalid ...
await asyncio.sleep(0, "slept")
# -> 'slept'

def halve(number):
    return number // 2

print(halve(4))
```

```text output
2
```

```python
>>> halve(8)
4
```

```python file=three.py
print(3)
```

```shell run
python three.py
```

```text output
3
```
"""


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _follow(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Do what a page says, in a folder of its own, with a server of its own if it asks for one."""
    if not any("server" in block.flags for block in blocks_of(page.read_text(encoding="utf-8"))):
        return _read(page, folder)
    with Standalone(oldest()) as server:
        return _read(page, folder, server.url.removesuffix("/0"))


def _read(page: Path, folder: Path, *server: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith(_NOT_FOR_READERS)}
    paths = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]),
        "PYTHONPATH": str(ROOT / "tests"),
    }
    words = [sys.executable, "-W", "error", "-m", "support.snippets", str(page), *server]
    return subprocess.run(words, cwd=folder, env=kept | paths, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize(
    "page",
    [page for page in RUN if any(block.kind == "python" for block in blocks_of(page.read_text(encoding="utf-8")))],
    ids=_name,
)
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path) -> None:
    """A reader who does what a page says, top to bottom, sees what it shows, and no warning."""
    done = _follow(page, tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not done.stderr


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("```python\n1 + 1  # -> 3\n```", "the page shows 3, and it is 2"),
        ("```python\nif True:\n    1 + 1  # -> 3\n```", "the page shows 3, and it is 2"),
        ("```python\nint('1')  # raises ValueError: ...\n```", "nothing was raised"),
        ("```python\nint('x')  # raises ValueError: no\n```", 'and it raises "ValueError: invalid literal'),
        ("```python\nint('x')\n```", "page.md"),
        ("```python\nx = 1  # -> 1\n```", "this promise belongs to no statement"),
        ("```python\nprint(1)\n```", "the page does not show '1\\n'"),
        ("```python\nprint(1)\n```\n\n```text output\n2\n```", "the page shows"),
        ("```text output\n2\n```", "nothing runs before this output"),
        ("```python\n>>> 1 + 1\n3\n```", "Expected:\n    3"),
        ("```python\nimport asyncio\nawait asyncio.sleep(0, 5)  # -> 6\n```", "the page shows 6, and it is 5"),
        ("```python\nimport warnings\nwarnings.warn('old')\n```", "UserWarning: old"),
        ("```python file=a.py\nprint(1\n```", "SyntaxError"),
        (
            "```python file=a.py\nprint(1)\n```\n\n```shell run\npython a.py\n```\n\n```text output\n2\n```",
            "the page shows",
        ),
        ("```shell run\npython -c 'raise SystemExit(3)'\n```", "returncode=3"),
        ("```shell serve\npython -c 'print(1)'\n```", "ended at once"),
        ("```python server\n1\n```", "it says server, but not where"),
        ("```python sever\n1\n```", "['sever'] means nothing here"),
        ("```python\n1\n", "this block is not closed"),
    ],
)
def test_a_page_that_is_wrong_is_noticed(written: str, complaint: str, tmp_path: Path) -> None:
    """Each way in which a page can be wrong makes the test above fail, and the failure says what and where."""
    page = tmp_path / "page.md"
    page.write_text(written)
    done = _follow(page, tmp_path) if "not closed" not in complaint else _read(page, tmp_path)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_all_that_a_page_can_promise_is_accepted(tmp_path: Path) -> None:
    """The wrong pages above fail for what is wrong with them, not for their form."""
    page = tmp_path / "page.md"
    page.write_text(GOOD)
    done = _follow(page, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of ours finds it, and the heading in it."""
    for link in links_of(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{_name(page)} links to {link}"
        assert not anchor or anchor in anchors_of(target.read_text(encoding="utf-8")), f"{_name(page)}: {link}"


def test_every_page_can_be_found() -> None:
    """Whoever starts at the README reaches each page by links."""
    seen: set[Path] = set()
    ahead = [README]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = [link.partition("#")[0] for link in links_of(page.read_text(encoding="utf-8")) if "://" not in link]
        ahead += [(page.parent / link).resolve() for link in links if link]
    assert set(PAGES) <= seen


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=_name)
def test_headings_are_unlike(page: Path) -> None:
    """A page begins with its title, and a link to a heading can mean one only."""
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(headings_of(text)) == len(anchors_of(text))


def _modules() -> list[str]:
    files = [path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")]
    parts = [path.relative_to(SOURCE).with_suffix("").parts for path in files]
    return sorted(".".join(part for part in names if part != "__init__") for names in parts)


@pytest.mark.parametrize("module", _modules())
def test_the_examples_in_docstrings_are_true(module: str) -> None:
    """What a docstring shows is what happens."""
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


def test_the_readme_begins_with_ten_lines_of_code() -> None:
    """The first thing to see is the main job, in ten lines."""
    first = next(blocks_of(README.read_text(encoding="utf-8")))
    assert first.kind == "python"
    assert first.line < 10
    assert len([line for line in first.text.splitlines() if line.strip()]) == 10


def test_the_readme_has_the_two_commands() -> None:
    """The first shell block is what CI takes its commands from."""
    text = README.read_text(encoding="utf-8")
    shell = next(block for block in blocks_of(text) if block.kind == "shell")
    assert shell.text.splitlines() == [
        "pip install -e '.[demo]' && python -m holdfast demo",
        "pip install -e '.[test]' && python -m pytest",
    ]
    assert "## Try it" in text.splitlines()[: shell.line]
    assert len(text.splitlines()) <= 120
