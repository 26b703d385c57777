"""Python source as what it does: a text without comments, blank lines and docstrings, and what it imports."""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import tokenize
from collections.abc import Callable, Iterator, Mapping

File = tuple[str, str]
"""Path and text of a module."""
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
_MARKS = {tokenize.INDENT: "{", tokenize.DEDENT: "}"}
_OPEN, _CLOSE = (getattr(tokenize, f"FSTRING_{end}", -1) for end in ("START", "END"))


@functools.lru_cache(maxsize=4096)
def normalised(text: str) -> str:
    """The tokens of `text`, a line for each logical line: how it is laid out and commented does not count.

    A line that is nothing but a string, such as a docstring, is left out. Every Python makes the same of it.
    """
    out: list[str] = []
    line: list[str] = []
    for kind, word in _tokens(text):
        if kind in _MARKS:
            out.append(_MARKS[kind])
        elif kind != tokenize.NEWLINE:
            line.append(word)
        elif line:
            if not all(map(_is_plain_string, line)):
                out.append(" ".join(line))
            line = []
    return "\n".join(out)


def digest(main: str, files: Mapping[str, File]) -> str:
    """First 12 hex digits of sha256 over the module `main` and the others of `files`, normalised."""
    others = (f"{name.partition('.')[2]}\n{normalised(files[name][1])}" for name in sorted({*files} - {main}))
    content = "\n\0".join((normalised(files[main][1]), *others))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def reached(main: str, read: Callable[[str], File | None]) -> dict[str, File]:
    """The module `main` and all that it imports, one through the other, as far as `read` has them, by name.

    Raises:
        SyntaxError: one is not Python; with its path and line.
    """
    found: dict[str, File] = {}
    waiting = [main]
    while waiting:
        name = waiting.pop()
        file = None if name in found else read(name)
        if file is not None:
            found[name] = file
            is_package = file[0].endswith("__init__.py")
            package = name if is_package else name.rpartition(".")[0]
            waiting += (one for one, _ in imports(file, package))
    return found


def imports(file: File, package: str) -> Iterator[tuple[str, int]]:
    """What may be a module that a file of `package` imports, by its whole name, with the line.

    Raises:
        SyntaxError: it is not Python; with its path and line.
    """
    parts = package.split(".")
    for level, module, names, line in _import_statements(*file):
        if level is None:
            yield from ((name, line) for name in names)
        else:
            above = parts[: len(parts) - level + 1] if level else []
            source = ".".join([*above, *([module] if module else [])])
            yield source, line
            yield from ((f"{source}.{name}", line) for name in names)


@functools.lru_cache(maxsize=4096)
def _import_statements(path: str, text: str) -> list[tuple[int | None, str | None, list[str], int]]:
    """Dots and module of each "from" (None, None: a plain import), the names, and the line."""
    nodes = ast.walk(ast.parse(text, path))
    found = (one for one in nodes if isinstance(one, ast.Import | ast.ImportFrom))
    return [
        (
            one.level if isinstance(one, ast.ImportFrom) else None,
            one.module if isinstance(one, ast.ImportFrom) else None,
            [alias.name for alias in one.names],
            one.lineno,
        )
        for one in found
    ]


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """Kind and text of each token that counts; an f-string is one, as Python 3.11 has it."""
    lines, depth, begun = text.split("\n"), 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == _OPEN:
            begun, depth = (begun if depth else token.start), depth + 1
        elif token.type == _CLOSE:
            depth -= 1
            if not depth:
                yield tokenize.STRING, _between(lines, begun, token.end)
        elif not depth and token.type not in _LAYOUT:
            yield token.type, token.string


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    chosen = lines[start[0] - 1 : end[0]]
    chosen[-1] = chosen[-1][: end[1]]
    chosen[0] = chosen[0][start[1] :]
    return "\n".join(chosen)


def _is_plain_string(word: str) -> bool:
    prefix = word[: min((word.find(quote) for quote in "'\"" if quote in word), default=0)]
    return word[-1:] in ("'", '"') and "f" not in prefix.lower()
