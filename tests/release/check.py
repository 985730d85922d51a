"""`python -m release.check [--tag TAG] [--every-python]`, in tests/: is this checkout fit to be released?

It builds the wheel and the sdist into dist/, compares them with what git tracks and with CHANGELOG.md, has twine look
at their metadata, compares docs/licences.md with the locks, and installs each in an empty environment of each Python of
the support list, where a smoke test must pass: the wheel with the newest dependencies that its metadata allows, bare
and with the extras; the sdist with the versions of requirements.lock. Pythons that are not on this machine are named.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from release import distributions, environments, licences

Outcome = tuple[str, list[str] | None]
"""What was checked, and what is wrong; None: it was not tried."""
_EXTRAS = ("gateway", "signatures")
_MARKS = {True: "✓", False: "✗", None: "·"}
_DIST = distributions.ROOT / "dist"


def main() -> int:
    """Check everything; return the exit code."""
    parser = argparse.ArgumentParser(description="Is this checkout fit to be released?")
    parser.add_argument("--tag", default="", help="the tag of the release: it must be the version, with its notes cut")
    parser.add_argument("--every-python", action="store_true", help="let none of the support list be missing")
    options = parser.parse_args()
    faults: list[str] = []
    for title, found in _checks(options.tag, every_python=options.every_python):
        say(f"{_MARKS[None if found is None else not found]} {title}")
        for fault in found or ():
            say(f"    {fault}")
        faults += found or ()
    say(f"{len(faults)} fault{'s' * (len(faults) != 1)}" if faults else "fit to be released")
    return bool(faults)


def _checks(tag: str, *, every_python: bool) -> Iterator[Outcome]:
    """Make each check; yield what it was, and what is wrong."""
    _DIST.mkdir(exist_ok=True)
    wheel, sdist = distributions.build(_DIST)
    for file in (wheel, sdist):
        say(f"  {file.name}: {file.stat().st_size / 1e6:.2f} MB")
    yield "the wheel has what git tracks, and nothing else", distributions.compare_wheel(wheel)
    yield "the sdist has what builds it, and nothing else", distributions.compare_sdist(sdist)
    yield "the sdist builds the same wheel, to the byte", distributions.compare_rebuilt(wheel, sdist)
    changelog = (distributions.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    yield "version, CHANGELOG.md and tag agree", distributions.compare_versions(_version(wheel), changelog, tag)
    yield "twine has nothing to say of the metadata", distributions.check_metadata(wheel, sdist)
    yield "docs/licences.md is what the locks say, and each licence is one that we accept", licences.compare()
    yield from _installations(wheel, sdist, every_python=every_python)


def _installations(wheel: Path, sdist: Path, *, every_python: bool) -> Iterator[Outcome]:
    version = _version(wheel)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write("\n".join(one.line for one in licences.read_lock(distributions.ROOT / "requirements.lock")))
        pins.flush()
        ways = ((wheel, (), None), (wheel, _EXTRAS, None), (sdist, _EXTRAS, Path(pins.name)))
        for minor in environments.support_list():
            found = environments.find_python(minor)
            if found is None:
                yield f"Python {minor}: not on this machine, not tried", ["it is asked for"] if every_python else None
                continue
            for distribution, extras, constraints in ways:
                title = f"Python {found[1]}, the {'wheel' if distribution == wheel else 'sdist'}"
                title += f" with {' and '.join(extras)}" * bool(extras)
                yield _installation(title, found[0], distribution, version, extras, constraints)


def _installation(
    title: str, python: Path, distribution: Path, version: str, extras: Sequence[str], pins: Path | None
) -> Outcome:
    try:
        said = environments.try_out(python, distribution, version, extras, pins)
    except RuntimeError as error:
        return title, str(error).splitlines()
    return f"{title}: {said}", []


def _version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def say(line: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
