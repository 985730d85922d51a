"""What is inside a foreign library is touched in one place, where the version is named that it was checked against."""

import ast
import re
from pathlib import Path

import hotswap

PACKAGE = Path(hotswap.__file__).parent
INTERNALS = PACKAGE / "kafka" / "internals.py"
SOURCES = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "v1"}
# Beside these modules nothing of aiokafka's is in its documentation.
DOCUMENTED = re.compile(
    r"aiokafka(\.(abc|admin(\..+)?|coordinator\.assignors\..+|errors|helpers|partitioner|structs))?"
)


def imported(source, library):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names if name.name.startswith("_"))]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == library)


def test_what_aiokafka_does_not_document_is_touched_in_internals_alone():
    touched = {
        (str(path.relative_to(PACKAGE)), name)
        for path, source in SOURCES.items()
        for name in imported(source, "aiokafka")
        if path != INTERNALS and not DOCUMENTED.fullmatch(name)
    }
    assert touched == set()
    # The linter sees what is behind an underscore; nobody else in kafka/ may tell it not to.
    assert [path.name for path, source in SOURCES.items() if path.parent.name == "kafka" and "SLF001" in source] == []


def test_nothing_that_jpype_does_not_document_is_touched_anywhere():
    touched = {
        (str(path.relative_to(PACKAGE)), name)
        for path, source in SOURCES.items()
        for name in [
            *imported(source, "_jpype"),
            *(name for name in imported(source, "jpype") if "._" in name),
            *re.findall(r"\bjpype\._\w+", source),
        ]
    }
    assert touched == set()
