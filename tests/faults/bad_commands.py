"""Bad swaps of every kind, each with the right answer: the artifacts, the protos and the commands."""

import stat
import time
import zipfile
from collections import Counter

from faults import bad_artifacts
from faults.fold import Fold
from faults.storm_commands import MODELS, PROTO
from harness.fleet import EXAMPLES

KINDS = {
    # Accepted by the log, but failing on each worker that tries to stage it.
    "garbage": "ARTIFACT_INVALID",
    "truncated": "ARTIFACT_INVALID",
    "leaves_its_folder": "ARTIFACT_INVALID",
    "link": "ARTIFACT_INVALID",
    "many_inodes": "ARTIFACT_INVALID",
    "claimed_jars": "ARTIFACT_INVALID",
    "names_outside": "ARTIFACT_INVALID",
    "no_mojo": "MODEL_INVALID",
    "wrong_digest": "DIGEST_MISMATCH",
    "wrong_proto_digest": "DIGEST_MISMATCH",
    "nowhere": "ARTIFACT_UNREACHABLE",
    "proto_nowhere": "ARTIFACT_UNREACHABLE",
    "other_runtime": "KIND_MISSING",
    "other_columns": "SCHEMA_MISMATCH",
    "unknown_column": "SCHEMA_MISMATCH",
    "no_end": "CONFIGURATION_INVALID",
    "broken_proto": "PROTO_INVALID",
    "broken_set": "PROTO_INVALID",
    "no_service": "NO_OPERATION",
    "bad_sample": "SAMPLE_REFUSED",
    "outside": "URI_DENIED",
    "proto_outside": "URI_DENIED",
    "no_time": "DEADLINE_EXCEEDED",
    "hangs": "DEADLINE_EXCEEDED",
    "never_answers": "DEADLINE_EXCEEDED",
    "proto_hangs": "DEADLINE_EXCEEDED",
    # Refused when it is read.
    "stale": "STALE",
    "stale_rollback": "STALE",
    "too_far": "OUT_OF_RANGE",
    "too_far_back": "OUT_OF_RANGE",
    "other_content": "EQUIVOCATION",
    "expired": "EXPIRED",
    "unknown_base": "UNKNOWN_BASE",
    "unknown_target": "UNKNOWN_BASE",
    "no_id": "MALFORMED",
    "no_digest": "MALFORMED",
    "no_source": "MALFORMED",
    "wrong_inline_digest": "DIGEST_MISMATCH",
    "duplicate": "DUPLICATE",
}
FIRST = {"incomplete": "INCOMPLETE"}
"""What only a deployment without a generation refuses."""

_GBM, _GLM = MODELS["iris_gbm"], MODELS["iris_glm"]
_NO_SERVICE = 'syntax = "proto3"; message Lonely { double x = 1; }'
_NOBODY = 987_654
_NO_DIGEST = "0" * 64


def outside_uri(chance, uri):
    """Return a URI of somewhere else, or of the same file by a way that is not allowed."""
    before, _, name = uri.rpartition("/")
    folder = before.rpartition("/")[2]
    return chance.choice(
        (
            f"{before}/../{folder}/{name}", f"{before}/%2e%2e/{folder}/{name}", f"simplecache::{uri}",
            uri.replace("file://", "local://"), uri.replace("file://", "file://localhost"), "file:///proc/self/environ",
            f"~/{name}", f"http://127.0.0.1:1/{name}", f"webhdfs://127.0.0.1:1/{name}", f"memory://{name}",
        )
    )  # fmt: skip


class BadCommands:
    """Makes bad swaps for a deployment whose generation 1 is good; `fold` has the log of all of them."""

    def __init__(self, *, deployment, commands, folder, chance):
        self.fold = Fold(deployment)
        self._commands = commands
        self._chance = chance
        self._folder = folder
        self._sent = []
        self._is_marked = False
        whole = _GLM.read_bytes()
        (folder / "garbage").write_bytes(b"not a model at all")
        (folder / "truncated").write_bytes(whole[: len(whole) // 2])
        _zip(folder / "leaves_its_folder", "../outside")
        _zip(folder / "link", "link", stat.S_IFLNK)
        _zip(folder / "no_mojo", "readme.txt")
        bad_artifacts.many_inodes(folder / "many_inodes")
        bad_artifacts.claimed_jars(folder / "claimed_jars")
        _zip(folder / "never_fetched", "model.ini")  # a worker serves what it has kept, wherever a command says it lies
        bad_artifacts.fifo(folder / "hangs")
        self._server = bad_artifacts.silent_server()

    @property
    def stores(self):
        """What the workers are to be allowed to fetch from."""
        return f"{EXAMPLES.as_uri()},{self._folder.as_uri()},{self._silent}"

    @property
    def _silent(self):
        return f"ftp://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self):
        """Close open servers and files."""
        self._server.close()

    def first(self):
        """Return the good swap to generation 1."""
        command = self._commands.swap(1, model=_GBM, proto=PROTO)
        self.fold.receive(command.SerializeToString(), time.time() * 1_000)
        self._sent.append(command)
        return command

    def round(self):
        """Return every kind once, in a random order with different codes first."""
        kinds, seen = list(KINDS), Counter()
        self._chance.shuffle(kinds)
        rank = {}
        for kind in kinds:
            seen[KINDS[kind]] += 1
            rank[kind] = seen[KINDS[kind]]
        return sorted(kinds, key=rank.get)

    def make(self, kind):
        """Return a command of this kind, with the outcome and the code that every worker must report."""
        code = (KINDS | FIRST)[kind]
        command = getattr(self, f"_{kind}")(self.fold.newest + 1)
        verdict = self.fold.receive(command.SerializeToString(), time.time() * 1_000)
        right = (verdict.outcome, verdict.code) if verdict.outcome else ("FAILED", code)
        assert code in right, (kind, right)
        if verdict.outcome != "REFUSED" or verdict.code in ("STALE", "OUT_OF_RANGE", "EXPIRED", "UNKNOWN_BASE"):
            self._sent.append(command)
        return command, right

    def _next(self, number, path=None, **parts):
        return self._commands.swap(number, base=1, model=path, **parts)

    # ---- artifacts and models

    def _garbage(self, number):
        return self._next(number, self._folder / "garbage")

    def _truncated(self, number):
        return self._next(number, self._folder / "truncated")

    def _leaves_its_folder(self, number):
        return self._next(number, self._folder / "leaves_its_folder")

    def _link(self, number):
        return self._next(number, self._folder / "link")

    def _no_mojo(self, number):
        return self._next(number, self._folder / "no_mojo")

    def _many_inodes(self, number):
        return self._next(number, self._folder / "many_inodes")

    def _claimed_jars(self, number):
        command = self._next(number, self._folder / "claimed_jars")
        command.swap.model.kind = "java"
        return command

    def _names_outside(self, number):
        path = self._folder / f"outside-{number}"
        return self._next(number, bad_artifacts.names_outside(path, self._chance.choice(bad_artifacts.OUTSIDE)))

    def _wrong_digest(self, number):
        command = self._next(number, _GLM)
        command.swap.model.sha256 = f"{self._chance.getrandbits(256):064x}"
        return command

    def _nowhere(self, number):
        command = self._wrong_digest(number)
        command.swap.model.uri = (self._folder / "nowhere").as_uri()
        return command

    def _hangs(self, number):
        command = self._wrong_digest(number)
        command.swap.model.uri = (self._folder / "hangs").as_uri()
        command.swap.deadline_ms = self._chance.randint(200, 2_000)
        return command

    def _never_answers(self, number):
        command = self._hangs(number)
        command.swap.model.uri = f"{self._silent}/model.zip"
        return command

    def _outside(self, number):
        command = self._next(number, self._folder / "never_fetched")
        command.swap.model.uri = outside_uri(self._chance, command.swap.model.uri)
        return command

    def _proto_outside(self, number):
        command = self._wrong_proto_digest(number)
        command.swap.proto.uri = outside_uri(self._chance, command.swap.proto.uri)
        return command

    def _other_runtime(self, number):
        command = self._next(number, _GLM)
        command.swap.model.kind = "abacus"
        return command

    def _other_columns(self, number):
        return self._next(number, EXAMPLES / "models" / "cancer_gbm.zip")

    def _unknown_column(self, number):
        command = self._next(number, _GLM)
        command.swap.configuration.columns["stem_length"] = "sepal_length"
        return command

    def _no_end(self, number):
        """A batch deadline so long that it is none."""
        command = self._next(number, _GLM)
        command.swap.configuration.deadline_ms = self._chance.choice((3_600_000, 2**31, 2**32 - 1))
        return command

    # ---- protos, samples, time

    def _wrong_proto_digest(self, number):
        command = self._next(number)
        command.swap.proto.uri = (EXAMPLES / "protos" / "iris.proto").as_uri()
        command.swap.proto.sha256 = f"{self._chance.getrandbits(256):064x}"
        return command

    def _proto_nowhere(self, number):
        command = self._wrong_proto_digest(number)
        command.swap.proto.uri = (self._folder / "nowhere.proto").as_uri()
        return command

    def _proto_hangs(self, number):
        command = self._wrong_proto_digest(number)
        command.swap.proto.uri = (self._folder / "hangs").as_uri()
        command.swap.deadline_ms = self._chance.randint(200, 2_000)
        return command

    def _broken_proto(self, number):
        return self._next(number, proto=PROTO.replace("message Iris {", "message Iris"))

    def _broken_set(self, number):
        command = self._next(number)
        command.swap.proto.descriptor_set = b"\xff" + self._chance.randbytes(20)
        return command

    def _no_service(self, number):
        return self._next(number, proto=_NO_SERVICE)

    def _bad_sample(self, number):
        command = self._next(number, _GLM)
        command.swap.samples.append(b"\xff\xff")
        return command

    def _no_time(self, number):
        command = self._next(number, _GLM)
        command.swap.deadline_ms = self._chance.randint(1, 150)
        return command

    # ---- what the log alone refuses

    def _incomplete(self, number):
        return self._commands.swap(number, model=_GBM)

    def _stale(self, number):
        return self._next(self._chance.randrange(number), _GLM)

    def _stale_rollback(self, number):
        return self._commands.rollback(self._chance.randrange(number), to=1)

    def _too_far(self, number):
        """A generation so far above the newest that few numbers, or none, would be left."""
        far = number + (1 << 53)
        command = self._next(self._chance.choice((far, 1 << 63, (1 << 64) - 1, self._chance.randrange(far, 1 << 64))))
        command.rules = self._chance.choice((1, 1, (1 << 32) - 1))
        return command

    def _too_far_back(self, number):
        """The same as a rollback, without a mark: the log is already marked, or this command marks it."""
        command = self._commands.rollback((1 << 64) - 1, to=1)
        command.rules = self._chance.choice((0, 1)) if self._is_marked else 1
        self._is_marked = True
        return command

    def _other_content(self, number):
        command = self._next(number, _GLM)
        command.command_id = self._chance.choice(self._sent).command_id
        return command

    def _expired(self, number):
        command = self._next(number, _GLM)
        command.swap.not_after.seconds = 1
        return command

    def _unknown_base(self, number):
        return self._commands.swap(number, base=_NOBODY, model=_GLM)

    def _unknown_target(self, number):
        return self._commands.rollback(number, to=_NOBODY)

    def _no_id(self, number):
        command = self._next(number, _GLM)
        command.command_id = ""
        return command

    def _no_digest(self, number):
        command = self._next(number, _GLM)
        command.swap.model.sha256 = "deadbeef"
        return command

    def _no_source(self, number):
        command = self._next(number)
        command.swap.proto.SetInParent()
        return command

    def _wrong_inline_digest(self, number):
        command = self._next(number, proto=PROTO)
        command.swap.proto.sha256 = _NO_DIGEST
        return command

    def _duplicate(self, number):
        return self._chance.choice(self._sent)


def _zip(path, entry, kind=stat.S_IFREG):
    """An archive with one entry of this name and kind."""
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo(entry)
        info.external_attr = kind << 16
        file.writestr(info, "/etc/hostname")
