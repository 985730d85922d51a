"""What `hotswap doctor` says of artifacts that a worker with its settings would not fetch."""

from hotswap.client.doctor import _stores
from hotswap.client.findings import Level
from hotswap.generation import Generation, Model, Proto
from hotswap.swap.timeline import Swap


def swap(number, uri, proto=None):
    generation = Generation(number, Model(uri, "a" * 64), proto or Proto.inline("x"))
    return Swap(f"c{number}", generation, {}, None)


def test_what_lies_in_the_store_is_one_good_line(settings):
    place = f"{settings.store}/a/m.zip"
    (one,) = _stores(settings, [swap(1, place), swap(2, place, Proto("b" * 64, uri=f"{settings.store}/p.proto"))])
    assert one.level is Level.OK


def test_each_place_outside_is_a_warning_with_its_generations_the_newest_first_and_the_setting(settings):
    old = [swap(number, "ftp://anna:sesame@host/m.zip") for number in range(1, 9)]
    proto = swap(9, f"{settings.store}/m.zip", Proto("b" * 64, uri="s3://protos/p.proto"))
    first, second = _stores(settings, [*old, proto])
    assert first.level is second.level is Level.WARNING
    assert first.what == f"generation 9: s3://protos/p.proto lies outside of the stores allowed here ({settings.store})"
    assert second.what.startswith("generation 8, 7, 6, 5, 4 and 3 more: ftp://host/m.zip lies outside of")
    assert "HOTSWAP_ALLOWED_STORES" in second.advice
    assert "sesame" not in second.what + second.advice
    allowing = settings.model_copy(update={"allowed_stores": f"{settings.store},ftp://anna:sesame@host,s3://protos"})
    assert [one.level for one in _stores(allowing, [*old, proto])] == [Level.OK]


def test_a_long_history_is_no_endless_list(settings):
    found = list(_stores(settings, [swap(number, f"s3://old/{number}.zip") for number in range(1, 101)]))
    assert len(found) == 21
    assert found[0].what.startswith("generation 100: ")
    assert found[-1].what == "80 more artifacts of older generations lie outside"
