"""Each library's undocumented parts are used at its border only, which names the version it was checked against."""

import ast
import re
from pathlib import Path

import hotswap

PACKAGE = Path(hotswap.__file__).parent
BORDER = {
    *(
        PACKAGE / "kafka" / name
        for name in ("batches.py", "internals.py", "error_codes.py", "group.py", "rights.py", "sessions.py")
    ),
    *(PACKAGE / "kafka/wire" / name for name in ("brokers.py", "hanging.py", "messages.py")),
}
SOURCES = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "v1"}
# aiokafka documents only these modules.
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


def test_undocumented_parts_of_aiokafka_are_used_at_its_border_only():
    touched = {
        (str(path.relative_to(PACKAGE)), name)
        for path, source in SOURCES.items()
        for name in imported(source, "aiokafka")
        if path not in BORDER and not DOCUMENTED.fullmatch(name)
    }
    assert touched == set()
    # The linter reports access to private names; no other file in kafka/ may suppress that.
    assert [path.name for path, source in SOURCES.items() if path.parent.name == "kafka" and "SLF001" in source] == []


def test_undocumented_parts_of_jpype_are_used_nowhere():
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
