"""Which artifacts a deployment needs, and what `hotswap doctor` says of those that are not there."""

import pytest

from hotswap.client.doctor import Level, _artifacts
from hotswap.client.needed import ArtifactState, Needed, Presence, absences, needed_artifacts
from hotswap.generation import Generation, Model, Proto
from hotswap.swap.timeline import Swap


def swap(number, model, proto=None):
    generation = Generation(number, Model(f"s3://m/{model}", model * 64), proto or Proto.inline("x"))
    return Swap(f"c{number}", generation, {}, None)


def test_each_place_is_needed_once_what_serves_first_and_then_the_newest():
    stored = Proto("f" * 64, uri="s3://m/p.desc")
    history = [swap(1, "a"), swap(2, "b"), swap(3, "a"), swap(4, "c", stored), swap(5, "d")]
    found = needed_artifacts(history, serving={3}, failed=set())
    assert [(one.part, one.uri[-6:], one.generations, one.serves) for one in found] == [
        ("model", "3://m/a"[-6:], (3, 1), True),
        ("model", "3://m/d"[-6:], (5,), False),
        ("model", "3://m/c"[-6:], (4,), False),
        ("proto", "p.desc", (4,), False),
        ("model", "3://m/b"[-6:], (2,), False),
    ]


def test_nobody_needs_a_generation_that_never_served_unless_a_partition_was_scored_by_it():
    history = [swap(1, "a"), swap(2, "b")]
    assert [one.generations for one in needed_artifacts(history, {1}, {2})] == [(1,)]
    assert [one.generations for one in needed_artifacts(history, {2}, {2})] == [(2,), (1,)]


@pytest.mark.parametrize(
    ("serves", "state", "what"),
    [
        (True, ArtifactState.MISSING, "the model of generation 2, 1 (serves) is not there: s3://m/a"),
        (False, ArtifactState.MISSING, "the model of generation 2, 1 is not there: s3://m/a"),
        (
            True,
            ArtifactState.UNKNOWN,
            "the model of generation 2, 1: it is not known whether it is there: is not there",
        ),
    ],
)
def test_what_is_missing_or_not_known_to_be_there_is_told_with_what_to_do(serves, state, what):
    one = Needed("model", "s3://anna:sesame@m/a", "a" * 64, (2, 1), serves)
    (found,) = absences("d", {one: Presence(state, "is not there")})
    assert found.what == what
    assert ("`hotswap store restore d` puts it back" in found.advice) is (state is ArtifactState.MISSING)


@pytest.mark.parametrize("state", [ArtifactState.THERE, ArtifactState.DENIED])
def test_what_is_there_or_not_to_be_asked_for_is_no_absence(state):
    assert list(absences("d", {Needed("model", "s3://m/a", "a" * 64, (1,), True): Presence(state)})) == []


def test_a_title_names_the_newest_generations_and_counts_the_rest():
    assert Needed("model", "", "", tuple(range(9, 0, -1)), True).title.endswith("9, 8, 7, 6, 5 and 4 more")


async def test_doctor_looks_for_the_newest_and_says_how_many_it_left(settings, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    (store / "0").write_text("x")
    (store / "1").mkdir()
    (store / "2").touch()
    many = [Needed("model", f"{settings.store}/{n}", f"{n:064}", (99 - n,), serves=n < 3) for n in range(25)]
    found = await _artifacts(settings, many)
    assert [one.what.partition(":")[0] for one in found[:2]] == [
        "the model of generation 98 (serves) is a folder",
        "the model of generation 97 (serves) is empty",
    ]
    assert len([one for one in found if one.level is Level.WARNING]) == 19
    assert [one.what for one in found[-2:]] == [
        "5 more artifacts of older generations were not looked for",
        "1 of 20 that are needed are in their stores",
    ]


async def test_a_store_that_hangs_leaves_it_unknown_and_ends_nobody(settings, monkeypatch):
    monkeypatch.setattr("hotswap.client.stored._LOOK_S", 0.01)
    monkeypatch.setattr("hotswap.client.stored.find_absence", lambda *_: __import__("threading").Event().wait(5))
    (found, _) = await _artifacts(settings, [Needed("model", f"{settings.store}/0", "a" * 64, (1,), True)])
    assert (found.level, "was not found within 0.01 s" in found.what) == (Level.WARNING, True)
