"""`python bill.py PACKAGES LOCK`: the CycloneDX bill of an image's packages, with the jars of a lock added to it."""

import json
import sys
from pathlib import Path


def main(packages: str, lock: str) -> None:
    """Write the whole bill to standard output."""
    bill = json.loads(Path(packages).read_text(encoding="utf-8"))
    lines = Path(lock).read_text(encoding="utf-8").splitlines()
    bill["components"] += [_jar(*line.split()) for line in lines]
    json.dump(bill, sys.stdout, indent=1, sort_keys=True)


def _jar(coordinate: str, digest: str) -> dict[str, object]:
    group, artifact, version = coordinate.split(":")
    url = f"pkg:maven/{group}/{artifact}@{version}?type=jar"
    return {
        "type": "library",
        "bom-ref": url,
        "purl": url,
        "group": group,
        "name": artifact,
        "version": version,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
