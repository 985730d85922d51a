"""The real command line as a process, for a test's own deployment."""

import asyncio
import os
import subprocess
import sys

from harness.fleet import ROOT, Deployment


def variables(deployment: Deployment) -> dict[str, str]:
    """Return a deployment's settings as environment variables; its name is an argument of the commands."""
    given = deployment.settings.model_dump(mode="json", include=deployment.settings.model_fields_set)
    return {f"HOTSWAP_{name.upper()}": str(value) for name, value in given.items() if name != "deployment"}


async def hotswap(deployment: Deployment, *words: object, code: int | None = 0) -> tuple[bytes, str]:
    """Run `hotswap …` to its end; return stdout as bytes, stderr as text. It must exit with `code`, None: any."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "hotswap", *map(str, words)],
        env=os.environ | variables(deployment), cwd=ROOT, capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    stderr = done.stderr.decode()
    assert code in (done.returncode, None), (done.returncode, done.stdout[-500:], stderr[-2_000:])
    return done.stdout, stderr
