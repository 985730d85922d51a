"""Models trained with a categorical_encoding: sent as they were before it, or as their MOJO names its columns.

The judges are H2O's own predictions for the raw rows (tests/models/train_h2o.py), and EasyPredict.
"""

import csv
import re
from dataclasses import replace

import pytest

from fakes.mojos import MODELS, Mojo, is_same, read_csv
from harness.easy import easy_predict
from harness.lab import Lab
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration, Policy, frozen
from hotswap.packages.draft import draft_proto, fields_of
from hotswap.packages.onboarding import Wish, onboard
from hotswap.settings import Settings

LIMITED = (Mojo("xgboost_enum_limited"), Mojo("kmeans_enum_limited"))
LEVELS = {
    "color": ("blue", "green", "red", "yellow"),
    "country": ("AT", "BE", "CH", "DE", "ES", "FR", "GB", "IE", "IT", "NL", "PL", "SE"),
}
UNHELD = {
    "xgboost_binary": "categorical_encoding Binary, and its MOJO does not hold the levels of `color`, `country`: send "
    "the columns that H2O made of it, as `color:0`",
    "kmeans_eigen": "categorical_encoding Eigen, and its MOJO does not hold the projection of `color`, `country`",
}
ODD = ("odd_xgboost_OneHotExplicit", "odd_xgboost_EnumLimited")
ODD_DECLARED = ("odd_gbm_OneHotExplicit", "odd_gbm_EnumLimited", "odd_gbm_Binary")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab") / "h2o", "h2o", heap_mb=256)
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path):
    return Settings(cache=tmp_path / "cache", store=(tmp_path / "store").as_uri())


# ---- raw columns


@pytest.mark.parametrize("mojo", LIMITED, ids=lambda mojo: mojo.name)
def test_a_level_that_was_not_kept_is_the_other_one_and_a_missing_one_is_missing(lab, mojo):
    others = [mojo.request(mojo.whole_row, country=level) for level in ("CH", "SE", "mauve", "other")]
    strict = replace(mojo.configuration, missing=Policy.REFUSE)

    (reads,) = lab.load(mojo.load()).reads.values()
    answers, unknown = lab.score(mojo.requests())
    alike, unknown_among_others = lab.score(others)
    lab.load(mojo.load(configuration=strict))
    (refused,), _ = lab.score([mojo.request(mojo.whole_row, country=None)])

    assert mojo.faults(answers) == []
    assert len(set(alike)) == 1
    assert unknown == unknown_among_others == {}
    assert (list(reads["country"]), list(reads["color"])) == ([], ["", *LEVELS["color"]])
    assert refused.code == "MISSING_FIELD"


@pytest.mark.parametrize("name", [*ODD, *ODD_DECLARED])
def test_columns_of_any_name_are_drafted_as_they_were_trained_on_and_scored_as_h2o_does(lab, name):
    rows, wanted = read_csv(MODELS / "odd.csv"), read_csv(MODELS / f"{name}.pred.csv")
    load, operation, draft = _drafted(lab, Mojo(name).load())
    reads = lab.load(load).reads
    answers, unknown = lab.score([_request(operation, draft, row) for row in rows])

    assert set(draft.fields) == set(rows[0])
    assert unknown == {}
    assert len(next(iter(reads.values()))) == len(rows[0])
    for answer, expected in zip(answers, wanted, strict=True):
        found = operation.output.FromString(answer)
        assert list(found.predict) == [expected["predict"]]
        assert is_same(found.p_yes[0], expected["yes"])


@pytest.mark.parametrize("name", ODD_DECLARED)
def test_declared_encodings_are_easypredicts(lab, name):
    rows = read_csv(MODELS / "odd.csv")
    load, operation, draft = _drafted(lab, Mojo(name).load())
    lab.load(load)
    changed = [*rows, {**rows[3], "plan": "never seen"}]
    answers, unknown = lab.score([_request(operation, draft, row) for row in changed])
    judged = easy_predict(MODELS / f"{name}.zip", [{k: v for k, v in row.items() if v} for row in changed])

    assert unknown == {"plan": 1}
    for row, answer, judge in zip(changed, answers, judged, strict=True):
        # EasyPredict takes a level `other` of a column that keeps all of its levels for unknown; H2O's server does not.
        if name.endswith("EnumLimited") and row["plan.b"] == "other":
            continue
        found = operation.output.FromString(answer)
        assert (found.predict[0], found.p_yes[0]) == (judge["label"], pytest.approx(judge["classProbabilities"][1]))


# ---- the MOJO's own columns


@pytest.mark.parametrize("name", ["xgboost_one_hot", "xgboost_enum_limited", "kmeans_one_hot", "xgboost_binary"])
def test_a_proto_of_the_encoded_columns_is_answered_as_before_and_in_the_jvm(lab, name):
    mojo = Mojo(name)
    encoded = [_encoded(name, row) for row in mojo.inputs]
    fields = {column: re.sub(r"\W", "_", column) for column in encoded[0]}
    types = {column: "double" if isinstance(value, float) else "string" for column, value in encoded[1].items()}
    declared = " ".join(f"optional {types[c]} {fields[c]} = {n};" for n, c in enumerate(fields, 1))
    answer = "string predict = 1;" if mojo.is_classifier else "double predict = 1;"
    proto = f'syntax = "proto3"; message Row {{ {declared} }} message Answer {{ {answer} }}'
    operation = compile_proto(f"{proto} service Model {{ rpc Score(Row) returns (Answer); }}".encode()).operations[
        "Score"
    ]
    load = mojo.load(proto=f"{proto} service Model {{ rpc Score(Row) returns (Answer); }}".encode())

    description = lab.load(replace(load, configuration=Configuration()))
    values = [
        operation.input(**{fields[c]: v for c, v in row.items() if v is not None}).SerializeToString()
        for row in encoded
    ]
    answers, _ = lab.score(values)

    found = [operation.output.FromString(answer).predict for answer in answers]
    assert found == [row["predict"] if mojo.is_classifier else float(row["predict"]) for row in mojo.expected]
    assert name == "kmeans_one_hot" or description.paths == {"Score": "in the JVM"}


def test_a_proto_that_lacks_some_of_either_is_told_of_the_fewest(lab):
    mojo = Mojo("xgboost_one_hot")
    raw = mojo.proto.replace(b"optional double x3", b"optional double x9")
    encoded = " ".join(f"double color_{level} = {n};" for n, level in enumerate(LEVELS["color"], 20))
    both = raw.replace(b"message Row {", f"message Row {{ {encoded}".encode())
    for proto in (raw, both):
        with pytest.raises(SwapError) as refused:
            lab.load(mojo.load(proto=proto))
        assert refused.value.code == "SCHEMA_MISMATCH"
        (problem,) = refused.value.message.splitlines()[1:]
        assert problem.startswith("Score: column `x3` (numeric): Row has no scalar field `x3`")


@pytest.mark.parametrize("name", UNHELD)
def test_an_encoding_that_the_mojo_does_not_hold_is_refused_with_what_to_do(lab, name):
    with pytest.raises(SwapError) as refused:
        lab.load(Mojo(name).load())

    assert refused.value.code == "SCHEMA_MISMATCH"
    assert UNHELD[name] in refused.value.message
    assert "or train it with OneHotExplicit, EnumLimited or AUTO" in refused.value.message


# ---- pack


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("xgboost_binary", "lacks columns that the model reads: color:0, color:1, color:2, country:0, country:1, "),
        (
            "xgboost_label_encoder",
            "the sample has texts in 'color', 'country', which the model reads as numbers: the model ",
        ),
        ("odd_xgboost_Binary", "lacks columns that the model reads: plan:0, plan:1, plan:2, plan.b:0, "),
    ],
)
async def test_raw_columns_of_an_encoding_that_the_mojo_does_not_hold_are_not_packed(
    lab, settings, pack_in, name, told
):
    pack_in(lab)
    sample = MODELS / ("odd.csv" if name.startswith("odd") else "rows.csv")

    with pytest.raises(UsageError) as refused:
        await onboard(settings, Wish(model=MODELS / f"{name}.zip", sample=sample))

    assert told in str(refused.value)
    assert "or train it with OneHotExplicit, EnumLimited or AUTO" in str(refused.value)


@pytest.mark.parametrize("name", [*ODD, "xgboost_one_hot", "kmeans_enum_limited"])
async def test_raw_columns_are_packed_without_a_remark_on_any_of_them(lab, settings, pack_in, name):
    pack_in(lab)
    sample = MODELS / ("odd.csv" if name.startswith("odd") else "rows.csv")

    content, notes = await onboard(settings, Wish(model=MODELS / f"{name}.zip", sample=sample))

    header = next(csv.reader(content.samples.splitlines()))
    assert len(header) == (8 if name.startswith("odd") else 6)
    assert [note for note in notes if "is not in the sample" in note] == []


def _drafted(lab, load):
    """Return a load with the proto that would be drafted for the model, its operation, and the draft."""
    interface = lab.describe(load)
    draft = draft_proto(
        "odd", about="", operations=["transform"], inputs=fields_of(interface.columns), outputs=interface.outputs
    )
    configuration = Configuration(columns=frozen(dict(draft.columns)), outputs=frozen(dict(draft.outputs)))
    operation = compile_proto(draft.text.encode()).operations["transform"]
    return replace(load, proto=draft.text.encode(), configuration=configuration), operation, draft


def _request(operation, draft, row):
    message = operation.input()
    texts = {part.name for part in message.rows.add().DESCRIPTOR.fields if part.type == part.TYPE_STRING}
    for column, value in row.items():
        if value:
            part = draft.fields[column]
            setattr(message.rows[0], part, value if part in texts else float(value))
    return message.SerializeToString()


def _encoded(name, row):
    """Encode a row as H2O does, by the levels in their order; None for what is missing."""
    made = {column: float(row[column]) if row[column] else None for column in ("x0", "x1", "x2", "x3")}
    for column, levels in LEVELS.items():
        value = row[column]
        if "one_hot" in name:
            made |= {f"{column}.{level}": float(level == value) for level in levels}
            made[f"{column}.missing(NA)"] = float(not value)
        elif "binary" in name:
            number = levels.index(value) + 1 if value else 0
            made |= {f"{column}:{bit}": float(number >> bit & 1) for bit in range(len(levels).bit_length())}
        elif column == "country":
            kept = ("ES", "DE", "IE", "PL", "NL", "FR", "BE", "GB", "AT", "IT")
            made["country.top_10_levels"] = (value if value in kept else "other") if value else None
        else:
            made[column] = value or None
    return made
