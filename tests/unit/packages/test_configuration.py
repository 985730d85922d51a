import json

import pytest

from hotswap.errors import UsageError
from hotswap.generation import Configuration, Policy, TextOptions, frozen
from hotswap.packages.configuration import configuration_of, document_of, read_configuration

FULL = Configuration(
    columns=frozen({"Age": "age"}),
    missing=Policy.REFUSE,
    deadline_ms=50,
    text=TextOptions(delimiter=";", missing=frozenset({"", "NA"}), is_strict=False),
    runtime=frozen({"modelClassName": "A"}),
)


def test_a_configuration_survives_being_written_and_read(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(document_of(FULL)))
    assert read_configuration(tmp_path / "c.json") == FULL
    assert document_of(Configuration()) == {}
    assert configuration_of({}, "nothing") == Configuration()


def test_the_ancestors_model_configuration_is_read_as_it_is(tmp_path):
    text = "# of the model\r\nmodelClassName=org.example.Iris\r\nmodelMethod : predict\r\n! end\r\nmodelInputType=\r\n"
    (tmp_path / "modelConfig.properties").write_bytes(b"\xef\xbb\xbf" + text.encode())
    options = read_configuration(tmp_path / "modelConfig.properties").runtime
    assert options == {"modelClassName": "org.example.Iris", "modelMethod": "predict", "modelInputType": ""}


def test_a_configuration_that_is_none_names_the_file_and_the_field(tmp_path):
    for name, text, reason in (
        ("c.json", "[]", "no object"),
        ("c.json", "{", "cannot be read"),
        ("c.json", '{"colums": {}}', "colums; it is a JSON object of"),
        ("c.json", '{"deadline_ms": 0}', "deadline_ms is a whole number from 1"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=rf"configuration .*{name}.*{reason}"):
            read_configuration(tmp_path / name)
