"""A child's description of its model is validated completely before it is used."""

import json

import pytest

from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.host.describe import read_interface
from hotswap.host.frames import FrameError
from hotswap.host.interface import Interface, facts_of

OUTPUT = (
    {"name": "p", "start": 0, "stop": 1, "aliases": [], "classes": None, "keys": None}
    | dict.fromkeys(("is_whole", "is_vector", "is_text", "is_object", "is_list", "is_inner"), False)
    | {"size": None}
)
INTERFACE = {
    "description": "a model",
    "columns": [{"name": "x", "categories": None, "type": "number", "width": None}],
    "outputs": [OUTPUT],
}


def test_an_interface_is_read_as_the_child_sent_it():
    class Model:
        description = "a model"
        columns = (Column("x"), Column("c", ("a", "b")), Column("v", type="vector", width=3))
        outputs = (Output("p", 0, 1, aliases=("q",)),)
        unoffered = ("hashes (array<vector>)",)

    read = read_interface(json.dumps(facts_of(Model)).encode())
    assert read == Interface("a model", [*Model.columns], [*Model.outputs], Model.unoffered)
    assert read_interface(json.dumps(INTERFACE | {"columns": None, "outputs": []}).encode()) == Interface(
        "a model", None, []
    )


@pytest.mark.parametrize(
    "told",
    [
        {},
        INTERFACE | {"columns": [{"name": "x", "categories": None, "type": "made up", "width": None}]},
        INTERFACE | {"columns": [{"name": "x", "categories": [1], "type": "number", "width": None}]},
        INTERFACE | {"outputs": [OUTPUT | {"start": "0"}]},
        INTERFACE | {"outputs": [OUTPUT | {"is_text": 1}]},
    ],
)
def test_a_malformed_interface_is_rejected(told):
    with pytest.raises(FrameError, match="its description of its model is malformed"):
        read_interface(json.dumps(told).encode())
