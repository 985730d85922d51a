"""What uv printed becomes a message: in one line, with advice, without secrets and places."""

import pytest

from hotswap.environments.recipe import Recipe
from hotswap.environments.words import clean, failed
from hotswap.errors import SwapCode, what_to_do

INDEX = "https://robot:s%40cret@pypi.example.org:8443/simple/"
RECIPE = Recipe(
    name="0" * 64,
    requirements="a==1",
    file="requirements.lock",
    python="/opt/python/bin/python3.12",
    version="3.12.4",
    reads=(),
    wheels="",
)
NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: Because "
SAID = {
    "Resolved 1 package in 6ms\nerror: Failed to download `a==1`\n  cause: Hash mismatch for `a==1`\n\n  Expected:": (
        "lock the model's requirements again, or restore the file that was locked"
    ),
    f"{NO_SOLUTION}a==1 has no usable wheels and you require a==1": "lock a version that has wheels, or build one",
    f"{NO_SOLUTION}a==1 has no wheels with a matching Python ABI tag (e.g., `cp312`)": "name another Python",
    f"{NO_SOLUTION}a==1 has no wheels with a matching platform tag (e.g., `x86`)": "name another Python",
    f"{NO_SOLUTION}a was not found in the package registry": "correct its name and version",
    f"{NO_SOLUTION}there is no version of a==1": "correct its name and version",
    f"{NO_SOLUTION}a was not found in the package registry\nhint: could not be queried (401 Unauthorized)": (
        "correct the user info of HOTSWAP_PYTHON_INDEX"
    ),
    f"{NO_SOLUTION}a was not found in the provided package locations": "pack it again",
    "error: Request failed after 3 retries\n  cause: Failed to fetch: x\n  cause: tcp connect error": (
        "check HOTSWAP_PYTHON_INDEX and this worker's network"
    ),
    "something new": "correct what it names",
    "": "correct what it names",
}


@pytest.mark.parametrize("printed", SAID, ids=range(len(SAID)))
def test_each_failure_says_what_to_do(printed):
    error = failed(RECIPE, printed, index=INDEX)
    what, advice = what_to_do(error.message)
    assert error.code is SwapCode.ENVIRONMENT_INVALID
    assert what.startswith("the packages of requirements.lock cannot be installed for Python 3.12.4 (uv: ")
    assert advice.startswith(SAID[printed]) or SAID[printed] in advice


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("Failed to fetch: https://pypi.example.org:8443/simple/a/", "Failed to fetch: the index"),
        ("for url (https://robot:s%40cret@pypi.example.org:8443/simple/a/)", "for url (the index)"),
        ("from `https://files.example.org/x/a-1-py3-none-any.whl#sha256=00`", "from `a-1-py3-none-any.whl`"),
        ("https://cdn.example.org/a-1-py3-none-any.whl.metadata?token=abc", "a-1-py3-none-any.whl.metadata"),
        ("https://cdn.example.org/signed?token=abc", "the index"),
        ("connect to pypi.example.org:8443 failed", "connect to the index failed"),
        ("no address for pypi.example.org", "no address for the index"),
        ("user robot has the password s@cret, or s%40cret", "user *** has the password ***, or ***"),
        ("at /home/u/.cache/hotswap/environments/x/work/cache/a.whl: damaged", "at a.whl: damaged"),
        ("in `/opt/python/bin/python3.12`, and/or elsewhere", "in `python3.12`, and/or elsewhere"),
    ],
)
def test_neither_the_index_nor_its_user_nor_a_path_is_shown(printed, shown):
    assert clean(f"error: {printed}", index=INDEX) == shown


def test_progress_colours_and_frames_are_left_out():
    printed = (
        "Using CPython 3.12.1 interpreter at: /x/python\nwarning: x\n\x1b[1m\x1b[31m  \u00d7 No\x1b[0m solution:\n"
        "  ╰─▶ Because\n      of that\nDownloading a (1.0MiB)\n + a==1\n"
    )
    assert clean(printed, index="") == "No solution: Because of that"


def test_a_long_message_is_cut_and_keeps_its_advice():
    message = failed(RECIPE, "error: (" + "long " * 1_000, index="").message
    assert len(message) < 2_200
    assert what_to_do(message)[1] == "correct what it names"


def test_a_control_character_of_an_index_is_escaped():
    assert clean("error: a\x07b\u202e", index="") == "a\\x07b\\u202e"
