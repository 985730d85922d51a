"""Which columns a MOJO's own are made of if it does not declare its encoding: by its details, and by their names."""

import json
import zipfile

import numpy as np
import pytest

from hotswap.codec.fields import Column
from hotswap.runtimes.h2o.encoded import Training, advice_on, raw_inputs, training_of

ONE_HOT = ("x", "a.x", "a.b", "a.b.c", "a.missing(NA)", "a.b.d", "a.b.missing(NA)")
ORIGINAL = ("x", "a.x", "a", "a.b", "response")


class Model:
    """As far as training_of looks at one."""

    def __init__(self, name):
        self._name = name

    def getClass(self):  # noqa: N802 - Java's own
        return self

    def getSimpleName(self):  # noqa: N802
        return self._name


def columns(*names):
    return [Column(name) for name in names]


def test_the_details_tell_a_number_from_a_level_of_the_same_beginning():
    inputs = raw_inputs(columns(*ONE_HOT), Training("OneHotExplicit", ORIGINAL))

    assert [(column.name, column.categories) for column in inputs.columns] == [
        ("x", None),
        ("a.x", None),
        ("a", ("b", "b.c")),
        ("a.b", ("d",)),
    ]
    rows = inputs.arrange(np.array([[1, 2, 0, 0], [3, np.nan, 1, np.nan]]))
    assert rows.tolist()[0] == [1, 2, 1, 0, 0, 1, 0]
    assert rows[1][[0, 2, 3, 4, 5, 6]].tolist() == [3, 0, 1, 0, 0, 1]
    assert np.isnan(rows[1][1])


def test_without_details_the_names_tell_as_far_as_they_can_be_nothing_else():
    names = ("x", "a.b", "a.missing(NA)", "c.d", "c.missing(NA)")

    assert [column.name for column in raw_inputs(columns(*names), Training()).columns] == ["x", "a", "c"]


@pytest.mark.parametrize(
    ("names", "training"),
    [
        (("x", "y"), Training()),
        (("x", "a.b"), Training("OneHotExplicit", ("x", "a"))),
        (("a.missing(NA)",), Training()),
        (("a.b", "a.missing(NA)", "a.missing(NA)"), Training()),
        (("a.b", "a.missing(NA)", "x"), Training()),
        (("a.b", "x", "c.d", "c.missing(NA)"), Training("OneHotExplicit", ("a", "x", "c"))),
        (("a", "a.b", "a.missing(NA)"), Training()),
        (("a.b", "a.missing(NA)"), Training("AUTO", ("a.b", "a.missing(NA)"))),
        (("a.b", "a.missing(NA)"), Training("OneHotExplicit", ("a.b", "a.missing(NA)"))),
        (("x:0", "x:1"), Training("Binary", ("x",))),
    ],
    ids=repr,
)
def test_columns_that_are_not_surely_encoded_stay_as_they_are(names, training):
    assert raw_inputs(columns(*names), training) is None


def test_a_limited_column_takes_every_other_text():
    limited = Column("a.top_2_levels", ("p", "q", "other"))
    given = [limited, Column("b", ("r", "s")), Column("x")]

    made = raw_inputs(given, Training("EnumLimited", ("a", "b", "x"))).columns

    assert made == [Column("a", ("p", "q", "other"), other=2), *given[1:]]
    assert raw_inputs(given, Training("EnumLimited", ("a.top_2_levels", "b", "x"))) is None
    assert raw_inputs([limited._replace(categories=("p", "other"))], Training()) is None
    assert raw_inputs([limited, Column("a")], Training()) is None


def test_an_encoding_that_is_not_held_is_told_only_where_it_was_used():
    assert "Binary" in advice_on(columns("x", "a:0", "a:1"), Training())
    assert "Binary" in advice_on(columns("x", "a:0", "a:1"), Training("Binary", ("x", "a")))
    assert advice_on(columns("x", "a:0", "a:1"), Training("AUTO", ("x", "a:0", "a:1"))) == ""
    assert "Eigen" in advice_on(columns("a.Eigen"), Training())
    assert "LabelEncoder" in advice_on(columns("a"), Training("LabelEncoder", ("a",)))
    assert advice_on(columns("a"), Training()) == ""


@pytest.mark.parametrize(
    "details", [None, b"", b"[1]", b'{"parameters": 1, "output": []}', b"[" * 9_999, b"\xff"], ids=repr
)
def test_details_that_are_not_h2os_are_no_details(tmp_path, details):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as mojo:
        mojo.writestr("model.ini", b"")
        if details is not None:
            mojo.writestr("experimental/modelDetails.json", details)

    assert training_of(Model("XGBoostJavaMojoModel"), tmp_path / "m.zip") == Training()
    assert training_of(Model("XGBoostJavaMojoModel"), tmp_path) == Training()
    assert training_of(Model("GbmMojoModel"), tmp_path / "m.zip") is None


def test_details_are_read_from_a_zip_and_from_a_folder(tmp_path):
    parameters = [{"name": "seed", "actual_value": 1}, {"name": "categorical_encoding", "actual_value": "Binary"}]
    text = json.dumps({"parameters": parameters, "output": {"original_names": ["x", "a"]}})
    (tmp_path / "experimental").mkdir()
    (tmp_path / "experimental" / "modelDetails.json").write_text(text)
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as mojo:
        mojo.writestr("experimental/modelDetails.json", text)

    for path in (tmp_path, tmp_path / "m.zip"):
        assert training_of(Model("KMeansMojoModel"), path) == Training("Binary", ("x", "a"))
