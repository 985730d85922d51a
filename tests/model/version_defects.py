"""The defects in what a worker makes of a command that needs a later version than it knows."""

from model.defects import Mutant

_RULES = ("tests/unit/test_later_commands.py",)
_SIGNED = ("tests/unit/trust/test_later_versions.py",)
_CLIENTS = ("tests/unit/client/test_later_clients.py",)

VERSIONS = [
    Mutant(
        "a worker guesses at a later version",
        "hotswap.commands:command_for",
        "version < address.least_version <= MOST_VERSION",
        "False",
        "I13",
    ),
    Mutant(
        "a number beyond any version holds",
        "hotswap.commands:command_for",
        "version < address.least_version <= MOST_VERSION",
        "version < address.least_version",
        "I13",
    ),
    Mutant(
        "a number beyond any version is folded",
        "hotswap.commands:_check_envelope",
        "message.least_version > MOST_VERSION",
        "False",
        "I9",
    ),
    Mutant(
        "a worker holds for another deployment's version",
        "hotswap.commands:command_for",
        "value is not None and address.deployment != deployment",
        "value is not None and address.deployment != deployment and address.least_version <= version",
        "I13",
    ),
    Mutant(
        "a log is folded behind a later version",
        "hotswap.trust.fold:Fold.receive",
        "None if self.timeline.held else command_for(self.deployment, record.value, self.timeline.version)",
        "command_for(self.deployment, record.value, self.timeline.version)",
        "I9",
    ),
    Mutant(
        "what is held is scored",
        "hotswap.agenda.progress:Progress.choose",
        "if self.timeline.held:\n    return Wait(None, self.timeline.held)",
        "if self.timeline.held and False:\n    return Wait(None, self.timeline.held)",
        "I13",
    ),
    Mutant(
        "a model keeps what is held",
        "hotswap.agenda.progress:Progress.is_overtaken",
        "if self.timeline.held:\n    return True",
        "pass",
        "I10",
    ),
    Mutant(
        "what is held is staged and retired",
        "hotswap.agenda.agenda:Agenda._decide",
        "[*self._stay_out(self._timeline.held)]",
        "[*self._stage_next(following), *self._retire(positions, own)]",
        "I13",
        _RULES,
    ),
    Mutant(
        "a later version holds unsigned",
        "hotswap.trust.fold:Fold.receive",
        "if command is None:\n    return None",
        "if command is None:\n"
        "    return None\n"
        "if isinstance(command, LaterCommand):\n"
        "    return (command, self.timeline.hold(command, record.offset))",
        "who may command",
        _SIGNED,
    ),
    Mutant(
        "a later version takes a role",
        "hotswap.trust.fold:Fold.receive",
        "_ROLES.get(type(command))",
        "_ROLES.get(type(command), Role.SWAP)",
        "who may command",
        _SIGNED,
    ),
    Mutant(
        "a client writes behind what it cannot read",
        "hotswap.client.commanding:write_command",
        "async for records in reader.to_end():\n    history.receive(records)\nhistory.check()",
        "async for records in reader.to_end():\n    history.receive(records)",
        "I13",
        _CLIENTS,
    ),
]
