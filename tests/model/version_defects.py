"""The defects in what a worker makes of a command that needs a later version than it knows."""

from model.defects import AGENDA, PROGRESS, Mutant

_COMMANDS, _FOLD = "worker/hotswap/commands.py", "worker/hotswap/trust/fold.py"
_RULES = ("tests/unit/test_later_commands.py",)
_SIGNED = ("tests/unit/trust/test_later_versions.py",)
_CLIENTS = ("tests/unit/client/test_later_clients.py",)

VERSIONS = [
    Mutant(
        "a worker guesses at a later version",
        _COMMANDS,
        "if version < address.least_version <= MOST_VERSION:",
        "if False:",
        "I13",
    ),
    Mutant(
        "a number beyond any version holds",
        _COMMANDS,
        "version < address.least_version <= MOST_VERSION",
        "version < address.least_version",
        "I13",
    ),
    Mutant(
        "a number beyond any version is folded",
        _COMMANDS,
        "if message.least_version > MOST_VERSION:",
        "if False:",
        "I9",
    ),
    Mutant(
        "a worker holds for another deployment's version",
        _COMMANDS,
        "if value is not None and address.deployment != deployment:",
        "if value is not None and address.deployment != deployment and address.least_version <= version:",
        "I13",
    ),
    Mutant("a log is folded behind a later version", _FOLD, "None if self.timeline.held else", "", "I9"),
    Mutant(
        "what is held is scored",
        PROGRESS,
        "held:\n            return Wait",
        "held and False:\n            return Wait",
        "I13",
    ),
    Mutant("a model keeps what is held", PROGRESS, "if self.timeline.held:\n            return True", "", "I10"),
    Mutant("what is held is staged and retired", AGENDA, "if self._timeline.held:", "if False:", "I13", _RULES),
    Mutant(
        "a later version holds unsigned",
        _FOLD,
        "        try:\n            self.guard.check(",
        "        if isinstance(command, LaterCommand):\n"
        "            return command, self.timeline.hold(command, record.offset)\n"
        "        try:\n            self.guard.check(",
        "who may command",
        _SIGNED,
    ),
    Mutant(
        "a later version takes a role",
        _FOLD,
        "_ROLES.get(type(command))",
        "_ROLES.get(type(command), Role.SWAP)",
        "who may command",
        _SIGNED,
    ),
    Mutant(
        "a client writes behind what it cannot read",
        "worker/hotswap/client/commanding.py",
        "        history.check()\n        newest",
        "        newest",
        "I13",
        _CLIENTS,
    ),
]
