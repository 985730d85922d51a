"""The child that converts models of scikit-learn, on a kernel without Landlock."""

import errno
import os
import runpy
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parents[2] / "worker"


def refuse(**_: Any) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


sys.path.append(str(WORKER))
from hotswap.host import landlock  # noqa: E402

sys.path.remove(str(WORKER))
landlock.restrict = refuse
runpy.run_path(str(WORKER / "hotswap" / "packages" / "sklearn" / "child.py"), run_name="__main__")
