"""The folder of a local Kafka's temporary data."""

import fcntl

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
