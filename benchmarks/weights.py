"""What the repository weighs, for `make weights`: words by page, lines by part, names that occur twice, private idiom.

python benchmarks/weights.py [CHECKOUT]
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

GENERATED = {"docs/codes.md", "docs/settings.md", "docs/metrics.md", "docs/licences.md", "CHANGELOG.md"}
"""Pages that nobody writes by hand, and the one that only grows."""
PARTS = {
    "package": ("worker/hotswap", "*.py"),
    "Java": ("worker", "*.java"),
    "tests": ("tests", "*.py"),
    "benchmarks and examples": ("benchmarks", "*.py"),
}
IDIOM = ("told", "said", "given", "asked", "found")
"""Participles that stand for nouns."""
_LONG_MODULE = 320
_HIDDEN = re.compile(r"(^|/)(\.|__pycache__|node_modules|build/|v1/)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(root: Path, folder: str, pattern: str) -> list[Path]:
    """Return the files of a folder, without what is hidden, built or generated."""
    found = (root / folder).rglob(pattern)
    return sorted(path for path in found if not _HIDDEN.search(path.relative_to(root).as_posix()))


def pages(root: Path) -> dict[str, int]:
    """Return how many words each page has; the decisions count together."""
    words: Counter[str] = Counter()
    for path in files(root, ".", "*.md"):
        name = path.relative_to(root).as_posix()
        words["docs/decisions/" if name.startswith("docs/decisions/") else name] += len(path.read_text().split())
    return dict(words)


def lines(root: Path) -> dict[str, int]:
    """Return how many lines each part has."""
    return {
        part: sum(path.read_text().count("\n") for path in files(root, folder, pattern))
        for part, (folder, pattern) in PARTS.items()
    }


class Package:
    """The syntax trees of the package."""

    def __init__(self, root: Path) -> None:
        self.texts = {path: path.read_text() for path in files(root, "worker/hotswap", "*.py")}
        self.trees = {path: ast.parse(text) for path, text in self.texts.items()}

    def _nodes(self, *kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
        for path, tree in self.trees.items():
            yield from ((path, node) for node in ast.walk(tree) if isinstance(node, kinds))

    def twice(self) -> dict[str, list[str]]:
        """Return public class names that several modules define."""
        where = defaultdict(set)
        for path, tree in self.trees.items():
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    where[node.name].add(path.name if path.name != "__init__.py" else path.parent.name)
        return {name: sorted(places) for name, places in sorted(where.items()) if len(places) > 1}

    def idiom(self) -> dict[str, int]:
        """Return how often participles are names, and how many names and first lines of docstrings are what-clauses."""
        names = Counter(node.id for _, node in self._nodes(ast.Name) if isinstance(node, ast.Name))
        names.update(node.arg for _, node in self._nodes(ast.arg) if isinstance(node, ast.arg))
        counts = {word: names[word] for word in IDIOM}
        defined = [node for _, node in self._nodes(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)]
        first = [(ast.get_docstring(node) or "").split("\n")[0] for node in defined]  # type: ignore[arg-type]
        counts["what-clauses in first docstring lines"] = sum(
            bool(re.search(r"\b(what|who|whoever|whatever)\b", line, re.IGNORECASE)) for line in first
        )
        counts["what-clauses in names"] = sum(
            bool(re.match(r"_?(what|who|whose|where|how)_", getattr(node, "name", ""))) for node in defined
        )
        return counts

    def long_modules(self) -> list[str]:
        """Return modules of more lines than a reader likes."""
        long = ((text.count("\n"), path.name) for path, text in self.texts.items())
        return [f"{name} {count}" for count, name in sorted(long, reverse=True) if count > _LONG_MODULE]

    def longest_function(self) -> str:
        """Return the longest function, and its lines."""
        every = (
            ((node.end_lineno or 0) - node.lineno + 1, f"{path.name}: {node.name}")
            for path, node in self._nodes(ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(node, Function)
        )
        length, name = max(every)
        return f"{name} {length}"


def weights(root: Path) -> Iterator[str]:
    """Yield what a checkout weighs, line by line."""
    words, package = pages(root), Package(root)
    for page, count in words.items():
        yield f"{count:8,}  {page}{' (generated)' if page in GENERATED else ''}"
    yield f"{sum(count for page, count in words.items() if page not in GENERATED):8,}  words by hand"
    yield from (f"{count:8,}  lines of {part}" for part, count in lines(root).items())
    yield from (f"{count:8,}  {word}" for word, count in package.idiom().items())
    twice, long = package.twice(), package.long_modules()
    yield f"{len(twice):8,}  public class names that stand for several classes: {', '.join(twice)}"
    yield f"{len(long):8,}  modules above {_LONG_MODULE} lines: {', '.join(long)}"
    yield f"{'':8}  longest function: {package.longest_function()}"
    yield f"{len(list(root.glob('requirements*.lock'))):8,}  locks"


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    sys.stdout.writelines(f"{line}\n" for line in weights(given))
