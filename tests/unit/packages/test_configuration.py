import json

import pytest

from hotswap.errors import UsageError
from hotswap.generation import Configuration, Policy, TextOptions, frozen
from hotswap.packages.configuration import configuration_of, document_of, read_configuration, read_properties

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


def test_the_model_configuration_of_acumos_is_read_unchanged(tmp_path):
    text = "# of the model\r\nmodelClassName=org.example.Iris\r\nmodelMethod : predict\r\n! end\r\nmodelInputType=\r\n"
    (tmp_path / "modelConfig.properties").write_bytes(b"\xef\xbb\xbf" + text.encode())
    options = read_configuration(tmp_path / "modelConfig.properties").runtime
    assert options == {"modelClassName": "org.example.Iris", "modelMethod": "predict", "modelInputType": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1\r\nb = 2 \r\n", {"a": "1", "b": "2 "}),
        ("key\\ with\\=signs\\: : v", {"key with=signs:": "v"}),
        ("path=c\\:\\\\x\\\\", {"path": "c:\\x\\"}),
        ("tab=\\t\\u00e9\\q", {"tab": "\té" + "q"}),
        ("empty\nlast=1=2:3", {"empty": "", "last": "1=2:3"}),
        ("a b c\nd\te", {"a": "b c", "d": "e"}),
        ("# c \\\n ! d\na==b", {"a": "=b"}),
        ("a=one,\\\r\n   two", {"a": "one,two"}),
        ("a=b\\\\\\\nc", {"a": "b\\c"}),
        ("a=\\ud83d\\ude00", {"a": "\U0001f600"}),
        # What our own parser, before javaproperties, read differently.
        ("a=one,\\\r  two\rb=2\r", {"a": "one,two", "b": "2"}),
        ("a=one,\\\n#two\nb=2", {"a": "one,#two", "b": "2"}),
        ("a=x\\\n  !y", {"a": "x!y"}),
        ("a\fb", {"a": "b"}),
        ("a=x\u0085y\nb=1", {"a": "x\u0085y", "b": "1"}),
        ("a=x\u2028y", {"a": "x\u2028y"}),
        ("a=x\vy", {"a": "x\vy"}),
        ("a=x\x1cy", {"a": "x\x1cy"}),
        ("\u00a0a=1", {"\u00a0a": "1"}),
    ],
)
def test_properties_are_read_as_java_reads_them(text, expected):
    # The result of java.util.Properties of OpenJDK 17.
    assert read_properties(text.encode()) == expected


def test_properties_that_are_not_utf8_are_latin_1():
    assert read_properties("a=Grün".encode("latin-1")) == read_properties("a=Grün".encode()) == {"a": "Grün"}


def test_properties_with_an_invalid_escape_are_refused_as_by_java(tmp_path):
    (tmp_path / "modelConfig.properties").write_text("modelMethod=\\u12\n")
    with pytest.raises(UsageError, match=r"cannot be read: Invalid \\u escape sequence: \\u12"):
        read_configuration(tmp_path / "modelConfig.properties")


def test_an_invalid_configuration_names_the_file_and_the_field(tmp_path):
    for name, text, reason in (
        ("c.json", "[]", "not an object"),
        ("c.json", "{", "cannot be read"),
        ("c.json", '{"colums": {}}', "unknown fields colums; it must be a JSON object of"),
        ("c.json", '{"text": {"ignore_unknown": "false"}}', "text.ignore_unknown must be true or false, not 'false'"),
        ("c.json", '{"deadline_ms": 0}', "deadline_ms must be an integer from 1"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=rf"configuration .*{name}.*{reason}"):
            read_configuration(tmp_path / name)
