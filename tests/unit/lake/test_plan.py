"""Which files make up each partition of an output, and what a second run may add to it."""

import pytest

from hotswap.errors import UsageError
from hotswap.lake.plan import BatchPlan, File, Origin, begin, check_exist, divide, resume

MIB = 1 << 20
ORIGIN = Origin(digest="d" * 64, generation=3, kind="h2o", model_sha256="m" * 64, proto_sha256="p" * 64, operation="f")


def files(*sizes):
    return [File(f"s3://lake/{number:02d}.parquet", size, 1) for number, size in enumerate(sizes)]


def test_files_that_follow_each_other_share_a_partition_of_eight_mebibytes_at_least():
    assert [len(part) for part in divide(files(*[3 * MIB] * 7))] == [3, 3, 1]


def test_an_input_of_some_gigabytes_has_partitions_of_a_thirty_second_part_of_it():
    parts = divide(files(*[10 * MIB] * 320))
    assert [len(part) for part in parts] == [10] * 32


def test_no_partition_waits_for_more_than_a_quarter_of_a_gibibyte_of_files():
    assert [len(part) for part in divide(files(*[128 * MIB] * 400))] == [2] * 200


def test_the_order_of_the_listing_does_not_matter():
    some = files(*range(1, 50))
    assert divide(reversed(some)) == divide(some)


def test_a_plan_is_read_back_as_it_was_written():
    plan = begin(ORIGIN, files(1, 20 * MIB, 3))
    assert BatchPlan.of_json(plan.to_json()) == plan


def test_what_is_no_plan_is_not_taken_for_one():
    for text in ("", "{}", '{"format": "hotswap.batch:2"}'):
        with pytest.raises(ValueError, match="validation error"):
            BatchPlan.of_json(text)


def test_files_that_are_new_get_partitions_of_their_own_and_the_others_keep_theirs():
    plan = begin(ORIGIN, files(9 * MIB, 9 * MIB))
    new = File("s3://lake/00-new.parquet", 1, 2)
    again = resume(plan, ORIGIN, [*files(9 * MIB, 9 * MIB), new], "out")
    assert again.partitions == (*plan.partitions, (new,))
    assert resume(again, ORIGIN, files(9 * MIB, 9 * MIB), "out") == again  # a done partition's files may be gone


def test_the_same_package_goes_on_whatever_its_generation_is_called():
    plan = begin(ORIGIN, files(1))
    assert resume(plan, ORIGIN.model_copy(update={"generation": 4}), files(1), "out") == plan


@pytest.mark.parametrize("other", [{"digest": "e" * 64}, {"operation": "g"}])
def test_an_output_of_another_package_or_rpc_is_not_added_to(other):
    plan = begin(ORIGIN, files(1))
    with pytest.raises(UsageError, match=r"out exists, and was scored by generation 3 \(h2o model m{12}…, rpc f\)"):
        resume(plan, ORIGIN.model_copy(update=other), files(1), "out")


@pytest.mark.parametrize("other", [File("s3://lake/00.parquet", 2, 1), File("s3://lake/00.parquet", 1, 2)])
def test_a_file_with_other_content_is_named(other):
    plan = begin(ORIGIN, files(1, 1))
    with pytest.raises(UsageError, match=r"begun with other content of s3://lake/00\.parquet"):
        resume(plan, ORIGIN, [other, *files(1, 1)[1:]], "out")


def test_files_that_are_still_to_be_scored_must_be_there():
    (part,) = divide(files(1, 1, 1))
    check_exist(part, {file.path: file for file in part})
    with pytest.raises(UsageError, match=r"00\.parquet and 1 more files belonged to the input"):
        check_exist(part, {part[2].path: part[2]})
