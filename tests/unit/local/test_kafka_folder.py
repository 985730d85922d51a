"""The folder of a local Kafka's temporary data."""

import fcntl
import subprocess

from harness.kafkas import PREPARED
from harness.kafkas import local_kafka as prepared_kafka
from hotswap.local import kafka as local_kafka
from hotswap.local.kafka import LocalKafka


def test_a_folder_that_is_just_being_made_is_not_taken_for_a_leftover(tmp_path, monkeypatch):
    lock, others = fcntl.flock, iter([local_kafka._remove_leftovers])

    def lock_while_another_one_starts(file, how):
        for sweep in others:
            sweep()
        lock(file, how)

    monkeypatch.setattr(local_kafka.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(local_kafka.fcntl, "flock", lock_while_another_one_starts)
    kafka = LocalKafka()

    assert kafka._take_directory().is_dir()
    kafka.close()
    assert [*tmp_path.iterdir()] == []


def test_data_begin_with_the_levels_of_features_that_are_asked_for_also_beside_a_copy(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv(PREPARED, str(tmp_path))
    commands = []
    monkeypatch.setattr(
        local_kafka.subprocess,
        "run",
        lambda words, **_: commands.append(words) or subprocess.CompletedProcess(words, 0, "", ""),
    )
    kafka = prepared_kafka()
    kafka.features = {"transaction.version": 1}
    kafka._format(tmp_path / "new")
    assert commands[0][-2:] == ["--feature", "transaction.version=1"]
