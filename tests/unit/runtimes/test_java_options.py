"""The options of the runtime for jars, read without a JVM."""

import pytest

from hotswap.errors import SwapError
from hotswap.packages.configuration import read_configuration, read_properties
from hotswap.runtimes.java.runtime import JarOptions, read_options

ANCESTORS = """\
# Acumos's modelConfig.properties
! another comment
modelClassName = com.example.\\
    Model
modelMethod:predict
modelInputType JSON
modelOutputType=java.util.List
"""


def test_acumos_keys_are_synonyms_of_ours_but_their_json_is_a_whole_message():
    given = read_properties(ANCESTORS.encode())

    assert read_options(given) == JarOptions("com.example.Model", "predict", {}, "message", None)
    assert read_options(given | {"modelOutputType": "Json"}).output == "message"
    assert read_options(given | {"modelInputType": "CSV"}).input == "csv"


def test_input_defaults_to_csv_for_acumos_keys_and_to_the_parameters_for_ours():
    assert read_options({"modelClassName": "a.B"}).input == "csv"
    assert read_options({"class": "a.B"}).input is None


def test_a_method_may_be_named_for_each_operation():
    options = read_options({"method": "all", "method.score": "one", "input": "CSV", "output": "json"})

    assert options == JarOptions(None, "all", {"score": "one"}, "csv", "json")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"klass": "a.B"},
            "no option `klass`; its options are: class, method, method.<operation>, input, output, modelCl",
        ),
        ({"input": "xml"}, "input must be one of csv, json, file, row; not `xml`"),
        ({"output": "xml"}, "output must be csv or json, not `xml`"),
    ],
)
def test_an_unknown_option_is_refused_with_the_known_ones(given, told):
    with pytest.raises(SwapError) as refused:
        read_options(given)

    assert (refused.value.code, told in refused.value.message) == ("CONFIGURATION_INVALID", True)


def test_a_properties_file_is_a_configuration_of_runtime_options(tmp_path):
    path = tmp_path / "modelConfig.properties"
    path.write_text(ANCESTORS)

    assert read_configuration(path).runtime["modelClassName"] == "com.example.Model"
