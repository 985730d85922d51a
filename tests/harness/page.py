"""Runs the commands of docs/kubernetes.md with stand-ins for a cluster and a registry, and its pods as processes."""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from harness.manifests import KUBECTL, ROOT, Manifest, container, environment, named, pods

PAGE = ROOT / "docs" / "kubernetes.md"
_BEFORE_THE_MODEL = "**6. A model"
_KUBECTL = """#!/bin/bash
set -euo pipefail
case "$*" in
*" create "*) echo --- >> "$APPLIED"; "$KUBECTL" "$@" --dry-run=client --output=yaml >> "$APPLIED" ;;
"apply -f "*) echo --- >> "$APPLIED"; cat "$3" >> "$APPLIED" ;;
"apply -k "*) echo --- >> "$APPLIED"; "$KUBECTL" kustomize "$3" >> "$APPLIED" ;;
*) "$KUBECTL" "$3" --help > /dev/null ;; # there must be such a command
esac
"""
_DOCKER = """#!/bin/bash
[ "$1" = push ] || [ -f "$3" ]
"""


class Parts(NamedTuple):
    """The page's commands, before there is a fleet and after."""

    before: str
    after: str


def commands() -> Parts:
    """Return what the page has a reader type."""
    text = PAGE.read_text(encoding="utf-8")
    begins = text.index(_BEFORE_THE_MODEL)
    before, after = (
        "\n".join(re.findall(r"^```sh\n(.*?)^```", part, re.DOTALL | re.MULTILINE))
        for part in (text[:begins], text[begins:])
    )
    return Parts(before, after)


class Reader:
    """Somebody who follows the page in a checkout; what a cluster would get is in `applied`."""

    def __init__(self, folder: Path, edits: Mapping[str, str], **variables: str) -> None:
        """`edits` are what the page's reader writes instead of what stands there."""
        self._folder, self._edits = folder, edits
        self._applied = folder / "applied.yaml"
        (folder / "bin").mkdir()
        for name, text in {"kubectl": _KUBECTL, "docker": _DOCKER}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        for name in ("ops", "examples"):
            (folder / name).symlink_to(ROOT / name)
        path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        self._variables = (
            os.environ | variables | {"PATH": path, "KUBECTL": str(KUBECTL), "APPLIED": str(self._applied)}
        )

    def type(self, text: str) -> str:
        """Run commands, with the variable `token` of those before; return what they print."""
        for old, new in self._edits.items():
            text = text.replace(old, new)
        kept = "[ ! -f token ] || token=$(cat token)"
        script = f"set -euo pipefail\n{kept}\n{text}\nprintf %s $token > token\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self._folder, env=self._variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    @property
    def applied(self) -> list[Manifest]:
        """Return all that was applied, in this order."""
        return [one for one in yaml.safe_load_all(self._applied.read_text()) if one]


class Pod(NamedTuple):
    """A workload's container as a process of this machine."""

    arguments: Sequence[str]
    variables: Mapping[str, str]


def pod(manifests: Iterable[Manifest], workload: str, root: Path) -> Pod:
    """Return a container's arguments and variables; what it mounts is made below `root`, and its paths lead there."""
    manifests = list(manifests)
    spec = pods(manifests)[workload]
    only, volumes = container(spec), {one["name"]: one for one in spec["volumes"]}
    places = {}
    for mount in only["volumeMounts"]:
        place = root / mount["mountPath"].lstrip("/")
        place.mkdir(parents=True)
        places[mount["mountPath"]] = str(place)
        for name, content in _files(manifests, volumes[mount["name"]]).items():
            (place / name).write_bytes(content)
    known = "|".join(map(re.escape, places))
    given = {**environment(manifests, workload), "TMPDIR": "/tmp"}

    def moved(text: str) -> str:
        return re.sub(rf"(^|=)({known})", lambda found: found[1] + places[found[2]], text)

    return Pod([moved(word) for word in only["args"]], {name: moved(value) for name, value in given.items()})


def _files(manifests: Iterable[Manifest], volume: Manifest) -> dict[str, bytes]:
    """Return the files of a volume of secrets; of another one, none."""
    names = [one["secret"]["name"] for one in volume.get("projected", {"sources": []})["sources"]]
    names += [volume["secret"]["secretName"]] if "secret" in volume else []
    found = [named(manifests, "Secret", name)["data"] for name in names]
    return {name: base64.b64decode(content) for data in found for name, content in data.items()}
