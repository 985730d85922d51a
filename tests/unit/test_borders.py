"""Each library's undocumented parts are used at its border only, which names the version it was checked against."""

import ast
import re
from pathlib import Path

import aiokafka
import pytest

import hotswap

pytestmark = pytest.mark.usefixtures("collector_is_off")
ROOT = Path(__file__).parents[2]
PACKAGE = Path(hotswap.__file__).parent
BORDER = {
    *(
        PACKAGE / "kafka/client" / name
        for name in ("cluster.py", "groups.py", "internals.py", "rights.py", "sessions.py")
    ),
    *(PACKAGE / "kafka/wire" / name for name in ("batches.py", "brokers.py", "hanging.py", "messages.py")),
    PACKAGE / "kafka/group/member.py",
}
INSIDE = {PACKAGE / "kafka/client" / name for name in ("cluster.py", "internals.py", "sessions.py")}
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


def test_the_private_names_of_aiokafka_that_are_used_are_those_that_are_listed():
    listed = set(re.findall(r"`(_[a-z_]+)`", (ROOT / "docs/upstream/README.md").read_text(encoding="utf-8")))
    inside = "\n".join(path.read_text(encoding="utf-8") for path in Path(aiokafka.__file__).parent.rglob("*.py"))
    used = {
        node.attr
        for path in INSIDE
        for node in ast.walk(ast.parse(SOURCES[path]))
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr)
    } | set(re.findall(r'"(_[a-z_]+)"', "".join(SOURCES[path] for path in INSIDE)))
    own = {name for name in used if not re.search(rf"\b(self\.|def ){name}\b", inside)}
    assert used - own == listed
    # The linter reports access to private names; no other file may suppress that.
    assert [path.name for path, source in SOURCES.items() if "SLF001" in source and "/kafka/" in str(path)] == []


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
