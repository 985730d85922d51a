"""What an output remembers of its scorer, and what executors are sent."""

import pickle
from dataclasses import replace

import pytest

from hotswap.client.change import read_proto
from hotswap.generation import Configuration, Policy, TextOptions
from hotswap.lake.origin import OriginScorer
from hotswap.settings import Settings


@pytest.fixture
def scorer(tmp_path):
    (tmp_path / "model").write_bytes(b"trees")
    (tmp_path / "model.proto").write_text('syntax = "proto3"; message Row { double a = 1; }')
    return OriginScorer(
        generation=3,
        kind="h2o",
        model=tmp_path / "model",
        proto=read_proto(tmp_path / "model.proto"),
        configuration=Configuration(),
    )


def test_the_digest_is_of_what_decides_the_answers(scorer, tmp_path):
    (tmp_path / "other").write_bytes(b"other trees")
    (tmp_path / "other.proto").write_text('syntax = "proto3"; message Row { double b = 1; }')
    others = [
        scorer,
        replace(scorer, kind="java"),
        replace(scorer, model=tmp_path / "other"),
        replace(scorer, proto=read_proto(tmp_path / "other.proto")),
        replace(scorer, configuration=Configuration(unknown_category=Policy.REFUSE)),
        replace(scorer, configuration=Configuration(text=TextOptions(delimiter=";"))),
    ]
    digests = [other.origin("f").digest for other in others]
    assert len({*digests, scorer.origin("f", {"Age": "a"}).digest}) == 7


def test_the_digest_is_not_of_names(scorer):
    digest = scorer.origin("f").digest
    renamed = Configuration(text=TextOptions(columns=(("Age", "a"),)))
    assert replace(scorer, generation=0).origin("f").digest == digest
    assert replace(scorer, configuration=renamed).origin("f").digest == digest
    assert scorer.origin("g", {}).digest == digest


def test_executors_are_sent_what_hosts_need_and_no_credentials(scorer):
    settings = Settings(deployment="d", sasl_password="secret", host_heap_mb=77)
    origin = scorer.origin("f")
    spec = scorer.spec(settings, origin, {"Age": "a"})
    assert spec.settings == {
        "deadline_ms": settings.deadline_ms,
        "host_heap_mb": 77,
        "sandbox": settings.sandbox,
        "sandbox_folder_mb": settings.sandbox_folder_mb,
        "sandbox_network": settings.sandbox_network,
        "sandbox_read": settings.sandbox_read,
        "pythons": "",
        "environment_max_bytes": settings.environment_max_bytes,
        "python_memory_mb": settings.python_memory_mb,
    }
    assert (spec.model, spec.digest, spec.operation) == (f"hotswap-{origin.digest[:12]}", origin.digest, "f")
    sent = pickle.dumps(spec)
    assert b"secret" not in sent
    assert pickle.loads(sent) == spec
    assert spec.table().columns == (("Age", "a"),)


@pytest.mark.parametrize(
    ("index", "sent"),
    [
        ("https://packages.example/simple/", {"python_index": "https://packages.example/simple/"}),
        ("https://me:secret@packages.example/simple/", {}),
        ("https://token@packages.example/simple/", {}),
    ],
)
def test_executors_are_sent_how_to_make_the_environment_of_a_python_model(scorer, index, sent):
    how = {"pythons": "/opt/python3.12", "environment_max_bytes": 1 << 33, "python_memory_mb": 9_000}
    settings = Settings(deployment="d", python_index=index, **how)
    given = scorer.spec(settings, scorer.origin("f")).settings
    assert {name: value for name, value in given.items() if name in how or name == "python_index"} == how | sent


def test_executors_on_this_machine_share_its_cache_and_others_have_their_own(scorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings, origin = Settings(deployment="d", cache="kept"), scorer.origin("f")
    assert scorer.spec(settings, origin, is_local=True).settings["cache"] == tmp_path / "kept"
    assert "cache" not in scorer.spec(settings, origin).settings


@pytest.mark.parametrize(("own", "most"), [(None, 900), (500, 500)])
def test_a_request_is_as_large_as_the_model_allows_or_else_the_worker(scorer, own, most):
    limited = replace(scorer, configuration=Configuration(max_request_bytes=own))
    spec = limited.spec(Settings(deployment="d", max_request_bytes=900), limited.origin("f"))
    assert spec.most_bytes == most
