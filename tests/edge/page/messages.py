"""Every sentence that the gateway's page can say, found in its templates and in the programs behind it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import extract_from_dir

import edge
from edge.codes import Refused

EDGE = Path(edge.__file__).parent
SAYS = {"N_": 0, "said": 0, "why_not": 0, "Note": 0, "Said": 0, "BadMeter": 0, "LineAway": 0}
"""Who is given a message, and as which of its arguments."""


def said_by_templates() -> set[str]:
    found = extract_from_dir(
        EDGE / "page" / "templates",
        [("**.html", "jinja2.ext:babel_extract")],
        {"**.html": {"silent": "false"}},
        keywords={"_": None, "gettext": None, "ngettext": (1, 2)},
    )
    return {
        message if isinstance(message, str) else message[0]
        for _file, _line, message, _c, _x in found
    }


def said_by_programs() -> set[str]:
    """Messages that are written out where they are said; and those returned to be said."""
    found: set[str] = set()
    for path in [
        *(EDGE / "drivers").glob("*.py"),
        *(EDGE / "field").glob("*.py"),
        *(EDGE / "lines").glob("*.py"),
        *(EDGE / "page").glob("*.py"),
        *(EDGE / "technician").rglob("*.py"),
    ]:
        found |= set(_written_in(ast.parse(path.read_text(encoding="utf-8"))))
    return found - {"%(text)s"}


def _written_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAYS:
            argument = node.args[SAYS[node.func.id]] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
        if isinstance(node, ast.FunctionDef) and node.name == "_why_still_on":
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Constant):
                    yield str(inner.value.value)


def said_by_refusals() -> set[str]:
    """Why what a customer did at the gateway was not taken."""
    return {error.sentence for error in Refused.__subclasses__()}
