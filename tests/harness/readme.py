"""Runs what README.md prints, as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from harness.fleet import ROOT
from harness.kafkas import of_prepared_classes


def run_printed(title: str, deployment: str, folder: Path, **settings: str) -> str:
    """Run the commands under a title beside `hotswap dev <deployment>` in `folder`; return what they print."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(rf"^### {title}\n.*?^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    tools = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"} | of_prepared_classes()
    environment |= {"HOTSWAP_CACHE": str(folder / "cache"), **settings}
    with (folder / "dev.log").open("wb") as log:
        dev = subprocess.Popen([tools / "hotswap", "dev", deployment], cwd=folder, env=environment, stderr=log)
    try:
        while "Ctrl-C here stops everything" not in (told := (folder / "dev.log").read_text()):
            assert dev.poll() is None, told
        exports = [line.strip() for line in told.splitlines() if line.startswith("    export ")]
        done = subprocess.run(
            ["bash", "-e", "-c", "\n".join([*exports, lines])], cwd=folder, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout, done.stderr, (folder / "dev.log").read_text()[-2_000:])
    finally:
        dev.terminate()
        assert dev.wait(30) == 0
    return done.stdout
