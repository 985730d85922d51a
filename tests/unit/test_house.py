"""The package stays easy to read: short modules, short functions, few modules at the top."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES, MOST_IN_A_FUNCTION, MOST_AT_THE_TOP = 350, 40, 16
FOLDERS = ("worker", "tests", "benchmarks", "examples")
GENERATED = "worker/hotswap/v1/"
pytestmark = pytest.mark.usefixtures("collector_is_off")
_LITERALS = ast.Constant | ast.Dict | ast.List | ast.Tuple | ast.Set | ast.JoinedStr


def modules():
    # Not as git lists them: a bare machine has Python and make.
    paths = (path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted(name for name in paths if not name.startswith(GENERATED))


def lines_of(function):
    """Return the lines of a function without those of literals: a table or a text reads as one thing."""
    inside = {
        line
        for node in ast.walk(function)
        if isinstance(node, _LITERALS)
        for line in range(node.lineno + 1, node.end_lineno + 1)
    }
    return len(set(range(function.lineno, function.end_lineno + 1)) - inside)


def too_long(name):
    text = (ROOT / name).read_text()
    if (length := text.count("\n")) > MOST_LINES:
        yield f"{name} has {length} lines"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        is_short = node.end_lineno - node.lineno < MOST_IN_A_FUNCTION  # as nearly all are, and counting takes long
        if not is_short and (length := lines_of(node)) > MOST_IN_A_FUNCTION:
            yield f"{name}: {node.name} has {length} lines"


def test_no_module_and_no_function_is_too_long():
    assert [said for name in modules() for said in too_long(name)] == []


def test_the_package_has_few_modules_at_its_top():
    top = {path.stem for path in (ROOT / "worker" / "hotswap").glob("*.py")} - {"__init__", "__main__"}
    assert len(top) <= MOST_AT_THE_TOP, sorted(top)


@pytest.mark.parametrize("folder", ["unit", "contract"])
def test_the_tests_mirror_the_rooms(folder):
    rooms = {path.name for path in (ROOT / "worker" / "hotswap").iterdir() if path.is_dir()}
    mine = {path.name for path in (ROOT / "tests" / folder).iterdir() if path.is_dir() and any(path.glob("**/*.py"))}
    assert mine <= rooms


def test_no_two_files_of_tests_have_one_name():
    """`make test` imports them as modules of the top, so pytest refuses the second one."""
    names = Counter(Path(name).name for name in modules() if Path(name).name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_public_class_name_stands_for_one_class():
    where = defaultdict(list)
    for name in modules():
        if name.startswith("worker/hotswap/"):
            for node in ast.parse((ROOT / name).read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    where[node.name].append(name)
    assert {name: places for name, places in where.items() if len(places) > 1} == {}
