"""Models whose columns have odd names, packed and scored by the names of their own CSV: H2O's own predictions.

`make odd-headers` has all of them, by each way that scores a table; here are two, by what all ways have in common.
"""

import json

import pytest

from faults.odd_headers import Model, difference, of_csv, of_frames, predicted
from hotswap.batch import Ask, Format
from hotswap.errors import SwapError
from hotswap.generation import Configuration, frozen
from hotswap.host.load import Load
from hotswap.packages.onboarding import Wish, onboard
from hotswap.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(cache=tmp_path / "cache", store=(tmp_path / "store").as_uri())


def load_of(model, proto, configuration, samples=()):
    return Load(
        generation=1, kind="h2o", model=model.mojo, proto=proto, is_descriptor_set=False, configuration=configuration,
        samples=samples, heap_mb=128,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["swapped", "beside"])
async def test_the_csv_that_pack_takes_is_scored_by_the_host_as_h2o_scores_it(name, settings, tmp_path, h2o):
    model = Model(name, tmp_path)
    content, _ = await onboard(settings, Wish(model=model.mojo, sample=model.table))
    asks = [Ask("", Format.CSV, Format.CSV), Ask("", Format.JSON, Format.JSON)]
    given = [model.table.read_bytes(), json.dumps(model.rows).encode()]
    async with h2o.serving(load_of(model, content.proto.source, content.configuration), print) as host:
        by_csv, by_json = await host.score(given, asks)
    assert difference(of_csv(by_csv.decode()), predicted(name)) == ""
    assert difference(of_frames([json.loads(by_json)]), predicted(name)) == ""


async def test_a_proto_of_ones_own_needs_no_configuration_for_the_names_that_the_host_finds(settings, tmp_path, h2o):
    model = Model("spaces", tmp_path)
    fields = "optional double a_b = 1; optional double wide = 2; optional double c_d_e = 3; optional string %s = 4;"
    source = f"""syntax = "proto3";
        message Row {{ {fields % "the_color_of_it"} }} message Rows {{ repeated Row rows = 1; }}
        message Out {{ repeated string predict = 1; repeated double p_yes = 2; repeated double p_no = 3; }}
        service S {{ rpc f(Rows) returns (Out); }}""".encode()
    configuration = Configuration(columns=frozen({"a  b": "wide"}))
    async with h2o.serving(load_of(model, source, configuration), print) as host:
        (answer,) = await host.score([model.table.read_bytes()], [Ask("", Format.CSV, Format.CSV)])
    assert difference(of_csv(answer.decode()), predicted("spaces")) == ""
    (tmp_path / "own.proto").write_bytes(source)
    wish = Wish(model=model.mojo, sample=model.table, proto=tmp_path / "own.proto", configuration=configuration)
    content, _ = await onboard(settings, wish)
    assert content.samples.splitlines()[0] == "a_b,wide,c_d_e,the_color_of_it"


def test_columns_that_no_request_can_tell_apart_are_refused(tmp_path, h2o):
    source = b"""syntax = "proto3";
        message Row { double lead = 1; double x = 2; string color = 3; } message Out { string predict = 1; }
        service S { rpc f(Row) returns (Out); }"""
    with pytest.raises(SwapError, match="the model has 2 columns called `lead`, which no request can tell apart"):
        h2o.load(load_of(Model("twins", tmp_path), source, Configuration()))


def test_fields_are_told_of_the_columns_that_are_called_otherwise(tmp_path, h2o):
    source = b"""syntax = "proto3";
        message In { optional double a_b = 1; optional string a = 2; Deep in = 3; map<string, double> more = 4; }
        message Deep { optional double c_d_e = 1; } message Out { string predict = 1; }
        service S { rpc f(In) returns (Out); }"""
    columns = {"the color of it": "a", "a  b": "more.a  b"}
    described = h2o.load(load_of(Model("spaces", tmp_path), source, Configuration(columns=columns)))
    fields = {"a b": "a_b", "c d e": "in.c_d_e", "the color of it": "a", "a  b": "more.a  b"}
    assert described.fields == {"f": fields}
    assert set(described.reads["f"]) == set(fields.values())
