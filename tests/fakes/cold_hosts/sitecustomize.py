"""With this folder on its PYTHONPATH, a program's own model hosts do not warm up: for tests of answers, not speed."""

from fakes.examples import COLD
from hotswap.host.parent import ModelHost

vars(ModelHost)["__init__"].__kwdefaults__["child"] = COLD
