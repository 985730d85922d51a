"""Control logs with the state that they fold to: `control_logs.jsonl.gz`, a log a line; test_golden_logs.py reads it.

What a control log has accepted stays accepted, so this file is made once, by the commit whose logs must go on to mean
the same, and never again by a later one:

    git worktree add ../then b3c94c2
    PYTHONPATH=../then .venv/bin/python tests/golden/make_golden.py

later_logs.py made `control_logs.2.jsonl.gz` in the same way, at the commit that brought version 2 of the contract.

With `--check` nothing is written: the logs of both files are folded by the code on PYTHONPATH, and each one that comes
to another state is named. So two commits are compared by this command at each of them.
"""

import argparse
import base64
import dataclasses
import gzip
import hashlib
import json
import logging
import random
import sys
from pathlib import Path
from types import SimpleNamespace

from hotswap.control import Control
from hotswap.settings import Settings
from hotswap.swap.timeline import Timeline
from hotswap.v1 import control_pb2 as wire

GOLDEN = Path(__file__).parent / "control_logs.jsonl.gz"
LATER = Path(__file__).parent / "control_logs.2.jsonl.gz"
DEPLOYMENT = "churn"
_SEED, _LOGS, _RECORDS = 15, 40, 110
_2023_MS = 1_700_000_000_000
_MOST = (1 << 64) - 1
_EDGES = (0, 1, 1 << 31, (1 << 32) - 1, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, 1 << 63, _MOST - 1, _MOST)
_TEXTS = tuple(f'syntax = "proto3"; message M{n} {{ double x = {n + 1}; }}' for n in range(6))
_DIGESTS = tuple(hashlib.sha256(bytes([n])).hexdigest() for n in range(6))
_NAMES = ("", "churn ", "CHURN", "churn\0", "churn2", "ch", "été", "x" * 300)


class Folded:
    """A control log as one worker folds it, record by record."""

    def __init__(self):
        self.timeline = Timeline()
        self._control = Control(
            settings=Settings(deployment=DEPLOYMENT), timeline=self.timeline, reader=None, writer=None
        )
        self._verdicts = []

    def receive(self, timestamp_ms, value):
        record = SimpleNamespace(value=value, timestamp=timestamp_ms, offset=len(self._verdicts), headers=())
        verdict = self._control._fold(record)
        self._verdicts.append(verdict and _plain(verdict))

    def state(self, version=1):
        """All that a log decides: what each command was worth, what was accepted, and whether there is a pause."""
        return {
            "verdicts": self._verdicts,
            "accepted": [_accepted(swap, version) for swap in self.timeline.swaps.values()],
            "is_paused": self.timeline.is_paused,
            "newest": self.timeline.newest,
        }


def _accepted(swap, version):
    plain = _plain(swap)
    # What a table is read by, which no log has: a configuration has its columns beside its text.
    assert plain["generation"]["configuration"]["text"].pop("columns") == []
    if version > 1:
        return plain
    # What came with version 2 of the contract, which none of these logs names.
    later = [plain.pop(name) for name in ("is_staged", "promote_by_ms", "replaces", "is_abandoned")]
    assert [*later, plain["generation"].pop("golden")] == [False, None, 0, False, None]
    return plain


def fold(records, version=1):
    """The state that a log of (timestamp in ms, value) comes to, with what this version of the contract has."""
    folded = Folded()
    for timestamp_ms, value in records:
        folded.receive(timestamp_ms, value)
    return folded.state(version)


def logs(version=1):
    """Each golden log: its name, its records, and the state that it comes to."""
    with gzip.open(LATER if version > 1 else GOLDEN, "rt") as file:
        for line in file:
            log = json.loads(line)
            values = ((at, None if value is None else base64.b64decode(value)) for at, value in log["records"])
            for swap in log["state"]["accepted"] if version == 1 else ():
                # How far a worker is with it was a field of it then; a fold alone never came to anything else.
                assert swap.pop("state") == "accepted"
                swap["generation"]["model"]["name"] = ""  # models had none
            yield log["name"], list(values), log["state"]


def _plain(value):
    """The same in what JSON has, field by field."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "items"):
        return sorted([key, _plain(item)] for key, item in value.items())
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


class Chance:
    """A seeded stream of records, each (timestamp in ms, value): good, bad, odd and hostile ones."""

    def __init__(self, seed, *, is_edgy):
        self._random = random.Random(seed)
        self._is_edgy = is_edgy
        self._folded = Folded()
        self._count = 0
        self._sent = []
        self._kinds = {self._swap: 60, self._rollback: 16, self._pause: 8, self._resume: 8, lambda _: None: 2}

    def log(self, length, version=1):
        records = []
        while len(records) < length:
            records.append((self._timestamp(), self._record()))
            self._folded.receive(*records[-1])
        return records, self._folded.state(version)

    def _timestamp(self):
        odd = (0, -1, -62_135_596_800_000, (1 << 63) - 1, 253_402_300_800_000)
        usual = _2023_MS + 1_000 * self._count + self._random.randrange(-5_000, 5_000)
        return self._random.choice(odd) if self._random.random() < 0.04 else usual

    def _record(self):
        roll = self._random.random()
        if roll < 0.08 and self._sent:
            return self._random.choice(self._sent[-40:])
        if roll < 0.12:
            return self._random.choice((None, b"", self._random.randbytes(self._random.randint(1, 30)), b"\x0a\xff"))
        command = self._command()
        if self._sent and self._random.random() < 0.08:
            command.command_id = wire.Command.FromString(self._random.choice(self._sent[-40:])).command_id
        value = command.SerializeToString(deterministic=True)
        self._sent.append(value)
        return self._bent(value) if self._random.random() < 0.08 else value

    def _bent(self, value):
        """The bytes of a command as nobody's library would write them."""
        other = self._command().SerializeToString(deterministic=True)
        return self._random.choice(
            (
                value[: self._random.randrange(len(value))],
                value + other,  # merged, and of two kinds the last one counts
                value + b"\xa2\x06\x03abc",  # field 100, unknown
                value + b"\xa3\x06\x08\x01\xa4\x06",  # a group, unknown
                value + b"\xa3\x06\x08\x01",  # a group without its end
                value + b"\x12\x02\xff\xfe",  # a deployment that is no UTF-8
                value + b"\x92\x00\x05churn",  # the tag of a deployment, longer than it need be
                value + b"\x10\x05",  # the number of the deployment's field, of another type
                value + b"\x12\x05churn",
                b"\x12\x05other" + value,
                value + b"\x12\x05other",
            )
        )

    def _command(self):
        self._count += 1
        chance = self._random
        command = wire.Command(command_id=f"c{self._count}", deployment=DEPLOYMENT)
        if chance.random() < 0.07:
            command.deployment = chance.choice(_NAMES)
        if chance.random() < 0.06:
            command.command_id = chance.choice(("", "\0", "x" * 200, "y" * 201, "ü" * 200, "é" * 201, "[/x]\x1b[2J"))
        (build,) = chance.choices(list(self._kinds), list(self._kinds.values()))
        build(command)
        return command

    def _pause(self, command):
        command.pause.SetInParent()

    def _resume(self, command):
        command.resume.SetInParent()

    def _rollback(self, command):
        command.rollback.generation = self._number()
        command.rollback.to = self._known()
        self._cut(command.rollback)

    def _swap(self, command):
        chance, swap = self._random, command.swap
        swap.generation = self._number()
        if chance.random() < 0.4:
            swap.base = self._known()
        is_first = not self._folded.timeline.swaps and chance.random() < 0.8
        if is_first or chance.random() < 0.5:
            self._model(swap.model)
        if is_first or chance.random() < 0.4:
            self._proto(swap.proto)
        if chance.random() < 0.4:
            self._configuration(swap.configuration)
        if chance.random() < 0.2:
            swap.samples.extend(chance.choice((b"", b"\0\xff", b"sample", chance.randbytes(20))) for _ in range(2))
        self._cut(swap)
        if chance.random() < 0.1:
            swap.not_after.seconds = chance.choice((0, 1, 1 << 40, 1_700_000_060, -62_135_596_800, -(1 << 62), 1 << 62))
            swap.not_after.nanos = chance.choice((0, 999_999_999, -1, 1_000_000_000, -(1 << 31)))
        if chance.random() < 0.2:
            swap.deadline_ms = chance.choice((1, 60_000, (1 << 32) - 1))

    def _number(self):
        """A generation's number: mostly the next one, sometimes stale, at the edge in a log of its own kind."""
        chance, newest = self._random, self._folded.timeline.newest
        if self._is_edgy and chance.random() < 0.1:
            return min(chance.choice((*_EDGES, newest + (1 << 53), newest + (1 << 53) + 1)), _MOST)
        if chance.random() < 0.15:
            return chance.randint(0, newest)
        return min(newest + chance.choice((1, 1, 1, 2, 5, 1_000)), _MOST)

    def _known(self):
        known = list(self._folded.timeline.swaps)
        is_odd = not known or self._random.random() < 0.1
        return self._random.choice(_EDGES) if is_odd else self._random.choice(known)

    def _cut(self, order):
        if self._random.random() < 0.25:
            for partition in self._random.sample((0, 1, 2, 3, 11, (1 << 32) - 1), 3):
                order.cut_over.offsets[partition] = self._random.choice((0, 7, 1_000, 1 << 53, 1 << 63, _MOST))

    def _model(self, model):
        digest = self._random.choice(_DIGESTS)
        model.uri = f"s3://models/{digest[:6]}.zip"
        model.sha256 = digest
        model.kind = self._random.choice(("h2o", "java", "spark", "spark-jar", "", "no such kind"))
        if self._random.random() < 0.15:
            model.sha256 = self._random.choice((digest.upper(), digest[:-1], "", "g" * 64, "é" * 64))
        if self._random.random() < 0.05:
            model.uri = self._random.choice(("", "\0", "file:///../..", "x" * 500))

    def _proto(self, proto):
        chance, text = self._random, self._random.choice(_TEXTS)
        match chance.randrange(6):
            case 0 | 1:
                proto.text = text
            case 2:
                proto.descriptor_set = text.encode()
            case 3:
                proto.uri = f"s3://protos/{chance.randrange(5)}{chance.choice(('.proto', '.desc', '.binpb', ''))}"
                proto.sha256 = chance.choice((*_DIGESTS, _DIGESTS[0].upper(), "no digest"))
                return
            case 4:
                proto.text = chance.choice(("", "no proto", text + "\0"))
            case 5:
                proto.SetInParent()
                return
        content = proto.text.encode() or proto.descriptor_set
        if chance.random() < 0.5:
            right = hashlib.sha256(content).hexdigest()
            proto.sha256 = chance.choice((right, right, right.upper(), "0" * 64, "no digest"))

    def _configuration(self, configuration):
        chance = self._random
        configuration.SetInParent()
        if chance.random() < 0.5:
            configuration.columns.update({name: chance.choice(("a.b", "", "\0")) for name in chance.sample("abcd", 2)})
            configuration.outputs.update({"label": "predict", "": chance.choice(("p0", ""))})
        for name in ("missing", "mistyped", "unknown_category"):
            if chance.random() < 0.4:
                setattr(configuration, name, chance.choice((0, 1, 2, 3, -1, (1 << 31) - 1)))
        for name in ("max_batch_records", "max_request_bytes", "deadline_ms"):
            if chance.random() < 0.3:
                setattr(configuration, name, chance.choice((0, 1, 500, (1 << 32) - 1)))
        if chance.random() < 0.3:
            configuration.runtime.update({"contributions": chance.choice(("true", "maybe"))})
        if chance.random() < 0.3:
            configuration.text.delimiter = chance.choice(("", ";", "\t", "é", ";;"))
            configuration.text.missing.extend(chance.sample(("NA", "null", "", "-"), 2))
            configuration.text.ignore_unknown = chance.random() < 0.5


def write(path, made):
    """Write logs, each (name, records, state)."""
    # No name in the header and no time: the same code gives the same file.
    with path.open("wb") as file, gzip.GzipFile("", "wb", mtime=0, fileobj=file) as packed:
        for name, records, state in made:
            plain = [[at, None if value is None else base64.b64encode(value).decode()] for at, value in records]
            log = {"name": name, "records": plain, "state": state}
            packed.write(json.dumps(log, separators=(",", ":")).encode() + b"\n")


def _made():
    for number in range(_LOGS):
        is_edgy = number % 3 == 2  # else most logs would soon be at the last number there is
        yield (
            f"{'edges' if is_edgy else 'usual'}-{number}",
            *Chance(_SEED * 1_000 + number, is_edgy=is_edgy).log(_RECORDS),
        )


def _check():
    different = [
        name
        for version in (1, 2)
        for name, records, state in logs(version)
        if json.loads(json.dumps(fold(records, version))) != state
    ]
    sys.stdout.write(f"{sys.modules['hotswap'].__path__[0]}: {different or 'the same state, all of them'}\n")
    return bool(different)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    logging.disable()
    sys.exit(_check() if parser.parse_args().check else write(GOLDEN, _made()))
