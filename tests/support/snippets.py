"""The snippets of a page, run as its reader would run them: top to bottom, in one program, every warning an error.

    ```python                run; a page is one namespace, and lines with `await` run in one loop
    ```python server         the same; what it calls redis://localhost:6379 is there
    ```python file=shop.py   saved in the page's folder, for the commands below it
    ```shell run             run in that folder; with `server`, as above
    ```shell serve           started in that folder, and awaited on port 8000; the next one ends it
    ```text output           all that the block before it has printed

A comment behind a statement, or alone on the line after it, is checked:

    get_product(7)  # -> 'Teapot'
    cached(ttl=None)  # raises ConfigurationError: ttl=None is not a duration...

So are examples with ``>>>``. Three dots stand for any text. Output that no page shows is a mistake, too.

    python -m support.snippets PAGE [URL OF THE SERVER]
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tokenize
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from support.pages import Block, blocks_of, matches
from support.ports import free_port
from support.waiting import until

PORT: Final = "8000"
SERVER: Final = "redis://localhost:6379"
_FLAGS: Final = frozenset({"output", "run", "serve", "server"})
_PROMISE: Final = re.compile(r"#\s*(->|raises)\s+(.*)")
_PATIENCE: Final = 30.0
_QUIET: Final = subprocess.DEVNULL


class Promises(ast.NodeTransformer):
    """Makes a check of each statement that has a promise."""

    def __init__(self, source: str) -> None:
        self._found: dict[int, tuple[str, str, int | None]] = {}
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            promise = _PROMISE.match(token.string) if token.type == tokenize.COMMENT else None
            if promise:
                line, column = token.start
                alone = not token.line[:column].strip()
                self._found[line - alone] = promise[1], promise[2], column if alone else None

    @property
    def unused(self) -> list[int]:
        """Return the lines with a promise that belongs to no statement."""
        return sorted(self._found)

    def visit(self, node: ast.AST) -> Any:
        """Replace a statement that makes a promise; inner statements come first, as they may end on the same line."""
        node = self.generic_visit(node)
        line = getattr(node, "end_lineno", None)
        if not isinstance(node, ast.stmt) or line not in self._found:
            return node
        how, text, column = self._found[line]
        if column not in {None, node.col_offset} or (how == "->" and not isinstance(node, ast.Expr)):
            return node
        del self._found[line]
        if isinstance(node, ast.Expr) and how == "->":
            new: ast.stmt = ast.Expr(_call("__expect__", node.value, ast.Constant(text)))
        else:
            new = ast.With([ast.withitem(_call("__raises__", ast.Constant(text)))], [node])
        return ast.fix_missing_locations(ast.copy_location(new, node))


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def expect(value: object, text: str) -> None:
    """Compare a value with what the page shows."""
    assert matches(text, repr(value)), f"the page shows {text}, and it is {value!r}"


@contextlib.contextmanager
def raises(text: str) -> Iterator[None]:
    """Compare an error with what the page shows."""
    try:
        yield
    except Exception as error:
        shown = f"{type(error).__name__}: {error}"
        assert matches(text, shown), f"the page shows {text!r}, and it raises {shown!r}"
        return
    raise AssertionError(f"the page shows {text!r}, and nothing was raised")


class Reader:
    """Somebody who follows a page."""

    def __init__(self, page: Path, server: str) -> None:
        self._page = page
        self._server = server
        self._port = free_port()
        self._main = types.ModuleType("__main__")
        sys.modules["__main__"] = self._main
        vars(self._main).update(__expect__=expect, __raises__=raises)
        self._serving: subprocess.Popen[bytes] | None = None
        self._printed: str | None = None

    def follow(self) -> None:
        """Do all that the page says."""
        with asyncio.Runner() as self._loop:
            try:
                for block in blocks_of(self._page.read_text(encoding="utf-8")):
                    self._take(block)
                self._be_told(None)
            finally:
                self._stop_serving()

    def _take(self, block: Block) -> None:
        unknown = [flag for flag in block.flags if flag not in _FLAGS and not flag.startswith("file=")]
        assert not unknown, f"line {block.line}: {unknown} means nothing here"
        self._be_told(block)
        text = self._localized(block)
        if block.file:
            compile(text, block.file, "exec")
            Path(block.file).write_text(text, encoding="utf-8")
        elif block.kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                self._run_python(text, block.line)
            self._printed = printed.getvalue()
        elif block.kind == "shell" and "run" in block.flags:
            done = subprocess.run(text, shell=True, capture_output=True, text=True, timeout=60, check=False)  # noqa: S602 - our own page
            assert (done.returncode, done.stderr) == (0, ""), f"line {block.line}: {done}"
            self._printed = done.stdout
        elif block.kind == "shell" and "serve" in block.flags:
            self._serve(text)

    def _be_told(self, block: Block | None) -> None:
        """Compare what was printed last with the block that should show it."""
        printed, self._printed = self._printed, None
        if block is not None and block.kind == "text" and "output" in block.flags:
            assert printed is not None, f"line {block.line}: nothing runs before this output"
            assert matches(block.text, printed), (
                f"line {block.line}: the page shows\n{block.text}\nand it is\n{printed}"
            )
        else:
            assert not printed, f"before line {block.line if block else 'the end'}: the page does not show {printed!r}"

    def _localized(self, block: Block) -> str:
        text = block.text.replace(PORT, str(self._port)) if block.kind == "shell" or block.file else block.text
        if "server" not in block.flags:
            return text
        assert SERVER in text, f"line {block.line}: it says server, but not where: {SERVER}"
        assert self._server, f"line {block.line}: no server was started for it"
        return text.replace(SERVER, self._server)

    def _run_python(self, source: str, line: int) -> None:
        if source.startswith(">>>"):
            self._run_examples(source, line)
            return
        promises = Promises(source)
        tree = promises.visit(ast.parse(source))
        assert not promises.unused, f"line {line - 1 + promises.unused[0]}: this promise belongs to no statement"
        ast.increment_lineno(tree, line - 1)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, str(self._page), "exec", flags=flags, dont_inherit=True)
        if code.co_flags & inspect.CO_COROUTINE:
            self._loop.run(eval(code, vars(self._main)))  # noqa: S307 - our own page
        else:
            exec(code, vars(self._main))  # noqa: S102 - our own page

    def _run_examples(self, source: str, line: int) -> None:
        test = doctest.DocTestParser().get_doctest(source, vars(self._main), self._page.name, str(self._page), line - 1)
        report = io.StringIO()
        test.globs = vars(self._main)  # the parser gives it a copy
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.write, clear_globs=False)
        assert not report.getvalue(), report.getvalue()

    def _serve(self, command: str) -> None:
        self._stop_serving()
        serving = subprocess.Popen(command, shell=True, start_new_session=True, stdout=_QUIET, stderr=_QUIET)  # noqa: S602 - our own page
        self._serving = serving
        until(lambda: _answers(self._port) or serving.poll() is not None, f"{command!r} listens")
        assert serving.poll() is None, f"{command!r} ended at once"

    def _stop_serving(self) -> None:
        if self._serving is not None:
            os.killpg(self._serving.pid, signal.SIGTERM)  # the shell and what it has started: a session of their own
            self._serving.wait(_PATIENCE)
            self._serving = None
            until(lambda: not _answers(self._port), "the program that was served has ended")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    # Pages that let Redis be away know that holdfast warns; any other line on stderr is a page's mistake.
    logging.getLogger("holdfast").addHandler(logging.NullHandler())
    Reader(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "").follow()
