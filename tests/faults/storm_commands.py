"""A seeded stream of control commands: three in ten valid, the rest duplicate, stale, forged, malformed or expired."""

import hashlib
import random
import uuid
from functools import cache

from faults.fold import Command, Fold
from harness.fleet import EXAMPLES


@cache
def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


MODELS = {name: EXAMPLES / "models" / f"{name}.zip" for name in ("iris_gbm", "iris_glm")}
PROTO = (EXAMPLES / "protos" / "iris.proto").read_text()
_DIGESTS = {name: sha256(path) for name, path in MODELS.items()}
_PROTO_DIGEST = hashlib.sha256(PROTO.encode()).hexdigest()
_2001_S, _2023_S = 1_000_000_000, 1_700_000_000


class Commands:
    """Builds the commands of one deployment, with ids from a seed."""

    def __init__(self, deployment, chance):
        self._deployment = deployment
        self._chance = chance

    def new(self, kind):
        command_id = str(uuid.UUID(int=self._chance.getrandbits(128)))
        command = Command(command_id=command_id, deployment=self._deployment)
        getattr(command, kind).SetInParent()
        return command

    def swap(self, number, *, base=0, model=None, proto=None):
        """Build a swap to generation `number`; `model` is the path of its artifact, `proto` a text."""
        command = self.new("swap")
        command.swap.generation, command.swap.base = number, base
        if model:
            command.swap.model.MergeFrom(type(command.swap.model)(uri=model.as_uri(), sha256=sha256(model), kind="h2o"))
        if proto:
            command.swap.proto.text = proto
        return command

    def rollback(self, number, *, to):
        command = self.new("rollback")
        command.rollback.generation, command.rollback.to = number, to
        return command


_KINDS = {
    # Three in ten are valid, plus a resume for each pause.
    "swap": 9,
    "swap_cut": 2,
    "configuration": 6,
    "rollback": 5,
    "pause": 2,
    "staged": 3,
    "promote": 3,
    "abandon": 2,
    # The rest.
    "late_promote": 2,
    "no_version": 2,
    "promote_of_nothing": 1,
    "duplicate": 17,
    "stale": 9,
    "stale_rollback": 3,
    "too_far": 3,
    "other_content": 8,
    "unknown_base": 4,
    "unknown_target": 2,
    "wrong_digest": 4,
    "other_deployment": 4,
    "random_bytes": 4,
    "truncated": 4,
    "no_id": 3,
    "nothing": 2,
    "bad_field": 4,
    "expired": 4,
}


def can_load(parts):
    """Whether a generation made of these parts can be staged."""
    return parts.model[1] in _DIGESTS.values() and parts.proto == _PROTO_DIGEST


def serving(fold):
    """Return the newest generation that each partition comes to, if nothing more is commanded; 0: there is none."""
    whole = (number for number, parts in fold.accepted.items() if is_whole(parts) and can_load(parts))
    return max(whole, default=0)


def is_whole(parts):
    """Whether a generation is for every partition."""
    return not (parts.is_staged or parts.replaces or parts.abandoned_ms is not None)


class Storm:
    """A sequence of commands, each (kind, key, value); the same seed and offsets give the same storm."""

    def __init__(self, *, seed, deployment):
        self.fold = Fold(deployment)
        self._random = random.Random(seed)
        self._commands = Commands(deployment, self._random)
        self._deployment = deployment
        self._ends = {}
        self._sent = []
        self._good = []
        self._until_resume = 0

    @property
    def serving(self):
        """The newest generation that can be loaded and is for every partition."""
        return serving(self.fold)

    def prologue(self):
        """Yield swaps that have nothing to inherit, before the first generation; then that generation."""
        make, model = self._commands.swap, MODELS["iris_gbm"]
        yield self._send("incomplete", make(1, model=model))
        yield self._send("incomplete", make(1, proto=PROTO))
        yield self._send("unknown_base", make(1, base=1, model=model, proto=PROTO))
        yield self._send("swap", make(1, model=model, proto=PROTO))

    def next(self, ends):
        """Return the next command; cuts by offsets aim at `ends` of the requests topic, partition -> offset."""
        self._ends = ends
        if self._until_resume:
            self._until_resume -= 1
            if not self._until_resume:
                return self._send("resume", self._commands.new("resume"))
        (kind,) = self._random.choices(list(_KINDS), list(_KINDS.values()))
        return self._send(kind, getattr(self, f"_a_{kind}")())

    def epilogue(self):
        """Return a resume, if the storm would end in a pause, and a swap, if in a generation that is for some alone."""
        if self.fold.is_paused:
            yield self._send("resume", self._commands.new("resume"))
        if not all(is_whole(parts) for number, parts in self.fold.accepted.items() if number >= self.serving):
            yield self._send("swap", self._next())

    def _send(self, kind, made):
        value = made.SerializeToString() if isinstance(made, Command) else made
        verdict = self.fold.receive(value, _2023_S * 1_000)
        if verdict and not verdict.outcome and can_load(self.fold.accepted[verdict.generation]):
            self._good.append(verdict.generation)
        if isinstance(made, Command) and made.command_id:
            self._sent.append(made)
        return kind, f"{self._deployment}/{self.fold.newest}".encode(), value

    def _next(self):
        """Build a good swap to another model, for the callers to spoil."""
        number = self.fold.newest + self._random.choice((1, 1, 1, 2, 5))
        return self._commands.swap(number, base=self._good[-1], model=self._random.choice(list(MODELS.values())))

    def _older(self):
        return self._random.randint(0, self.fold.newest)

    # ---- valid

    def _a_swap(self):
        return self._next()

    def _a_swap_cut(self):
        command = self._next()
        for partition, end in self._ends.items():
            if self._random.random() < 0.8:
                command.swap.cut_over.offsets[partition] = max(0, end + self._random.randint(-20, 50))
        return command

    def _a_configuration(self):
        command = self._next()
        command.swap.ClearField("model")
        command.swap.configuration.max_batch_records = self._random.choice((0, 50, 500))
        command.swap.configuration.missing = self._random.choice((0, 1))
        return command

    def _a_rollback(self):
        return self._commands.rollback(self.fold.newest + 1, to=self._random.choice(self._good))

    def _a_pause(self):
        self._until_resume = self._until_resume or self._random.randint(1, 20)
        return self._commands.new("pause")

    # ---- of version 2

    def _a_staged(self):
        command = self._later(self._next())
        command.swap.cut_over.staged = True
        if self._random.random() < 0.3:
            command.swap.cut_over.promote_by.seconds = self._random.choice((_2001_S, _2023_S + 1))
        return command

    def _a_promote(self):
        """Build a promote of the newest generation: of one partition, of some, or of all."""
        command = self._later(self._commands.new("promote"))
        command.promote.generation = self.fold.newest
        command.promote.complete = self._random.random() < 0.4
        for partition, end in self._ends.items():
            if self._random.random() < 0.5 or not command.promote.offsets:
                command.promote.offsets[partition] = max(0, end + self._random.randint(-20, 50))
        command.promote.complete |= not command.promote.offsets
        return command

    def _a_abandon(self):
        command = self._later(self._commands.new("abandon"))
        command.abandon.generation, command.abandon.abandoned = self.fold.newest + 1, self.fold.newest
        command.abandon.to = self._random.choice((0, 0, *self._good[-3:]))
        return command

    def _a_late_promote(self):
        """Build a promote of what another generation has followed."""
        command = self._a_promote()
        command.promote.generation = self._random.choice((self._older(), self.fold.newest + 1))
        return command

    def _a_no_version(self):
        """Build a promote or an abandon that does not say which version it needs."""
        command = self._random.choice((self._a_promote, self._a_abandon))()
        command.ClearField("least_version")
        return command

    def _a_promote_of_nothing(self):
        command = self._later(self._commands.new("promote"))
        command.promote.generation = self.fold.newest
        return command

    def _later(self, command):
        command.least_version = 2
        return command

    # ---- duplicate, stale, forged

    def _a_duplicate(self):
        return self._random.choice(self._sent[-500:])

    def _a_stale(self):
        command = self._next()
        command.swap.generation = self._older()
        return command

    def _a_stale_rollback(self):
        command = self._a_rollback()
        command.rollback.generation = self._older()
        return command

    def _a_too_far(self):
        command = self._next()
        command.swap.generation += 1 << 53
        command.rules = 1
        return command

    def _a_other_content(self):
        """Build a newer swap under a used id: it would be accepted under its own."""
        command = self._random.choice((self._next, self._a_rollback, lambda: self._commands.new("resume")))()
        command.command_id = self._random.choice(self._sent[-500:]).command_id
        return command

    def _a_unknown_base(self):
        command = self._next()
        command.swap.base = self.fold.newest + self._random.randint(1, 1_000)
        return command

    def _a_unknown_target(self):
        command = self._a_rollback()
        command.rollback.to = self._random.choice((0, self.fold.newest + 1))
        return command

    def _a_wrong_digest(self):
        """Build a swap that the log accepts, since only fetching reveals the fault; it must then fail."""
        command = self._next()
        command.swap.model.sha256 = f"{self._random.getrandbits(256):064x}"
        return command

    def _a_other_deployment(self):
        command = self._next()
        command.deployment = self._random.choice((f"{self._deployment}x", "", self._deployment.upper()))
        return command

    # ---- malformed, expired

    def _a_random_bytes(self):
        return self._random.randbytes(self._random.randint(1, 60))

    def _a_truncated(self):
        value = self._next().SerializeToString()
        return value[: self._random.randrange(1, len(value))]

    def _a_no_id(self):
        command = self._next()
        command.command_id = ""
        return command

    def _a_nothing(self):
        return self._random.choice((None, b""))

    def _a_bad_field(self):
        """Build a command with one meaningless field; everything else is good."""
        command = self._next()
        swap = command.swap
        match self._random.randrange(8):
            case 0:
                swap.model.sha256 = "deadbeef"
            case 1:
                swap.model.uri = ""
            case 2:
                swap.proto.SetInParent()
            case 3:
                swap.proto.text, swap.proto.sha256 = PROTO, "0" * 64
            case 4:
                swap.proto.uri, swap.proto.sha256 = "file:///proto", "no digest"
            case 5:
                swap.not_after.seconds = self._random.choice((1 << 62, -(1 << 62)))
            case 6:
                command.ClearField("swap")
            case 7:
                command.command_id = "x" * self._random.choice((201, 201, 201, 600_000))
        return command

    def _a_expired(self):
        command = self._next()
        command.swap.not_after.seconds = self._random.randint(1, _2001_S)
        return command
