"""Files of XGBoost and LightGBM whose trees are none, whose counts lie, and that are nested to end a parser.

Both libraries trust the structure of a file: they crash, never return, or read and write beyond their arrays.
"""

import json
import re
import struct
from pathlib import Path

_MODELS = Path(__file__).parents[1] / "models"
_XGBOOST = _MODELS / "xgboost" / "species.json"
_LIGHTGBM = _MODELS / "lightgbm" / "iris.txt"


# ---- XGBoost


def node(path, field, value, place=0):
    """Write a model of XGBoost with another value in a field of a node of its first tree."""
    model = json.loads(_XGBOOST.read_text())
    model["learner"]["gradient_booster"]["model"]["trees"][0][field][place] = value
    path.write_text(json.dumps(model))


def circle(path):
    """Write a model of XGBoost in which the root's left child has the root as both children."""
    model = json.loads(_XGBOOST.read_text())
    tree = model["learner"]["gradient_booster"]["model"]["trees"][0]
    child = tree["left_children"][0]
    tree["left_children"][child] = tree["right_children"][child] = 0
    path.write_text(json.dumps(model))


def setting(path, names, value):
    """Write a model of XGBoost with another value at this path of names."""
    model = part = json.loads(_XGBOOST.read_text())
    for name in names[:-1]:
        part = part[name]
    part[names[-1]] = value
    path.write_text(json.dumps(model))


def nested_json(path, depth):
    """Write JSON of XGBoost with so many lists in each other."""
    path.write_text(f'{{"learner": {"[" * depth}{"]" * depth}}}')


def nested_ubjson(path, depth):
    """Write UBJSON with so many objects in each other."""
    path.write_bytes(b"{" + (_name(b"learner") + b"{") * depth)


def claimed_array(path, count):
    """Write UBJSON with an array of so many numbers, of which four bytes follow."""
    path.write_bytes(b"{" + _name(b"learner") + b"[$d#L" + struct.pack(">q", count) + b"1234}")


def _name(name):
    return b"L" + struct.pack(">q", len(name)) + name


# ---- LightGBM


def edited(path, pattern, replacement):
    """Write a model of LightGBM with this replaced once, and the sizes of its trees made right again."""
    text, count = re.subn(pattern, replacement, _LIGHTGBM.read_text(), count=1, flags=re.MULTILINE)
    assert count, pattern
    _, *trees = re.split(r"(?=^Tree=)", text.partition("end of trees")[0], flags=re.MULTILINE)
    sizes = " ".join(str(len(tree)) for tree in trees)
    path.write_text(re.sub(r"(?<=^tree_sizes=).*", sizes, text, flags=re.MULTILINE))


def sized(path, sizes):
    """Write a model of LightGBM that says other sizes of its trees."""
    path.write_text(re.sub(r"(?<=^tree_sizes=).*", sizes, _LIGHTGBM.read_text(), flags=re.MULTILINE))


def cut(path, size):
    """Write the beginning of a model of LightGBM."""
    path.write_bytes(_LIGHTGBM.read_bytes()[:size])
