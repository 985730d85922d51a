"""The defects in who may command, which the tests of that have to find."""

from model.defects import Mutant

_TESTS = (
    "unit/trust/test_guard.py",
    "unit/trust/test_renewal.py",
    "unit/client/test_client_signing.py",
    "unit/test_control_signatures.py",
)


def _trust(name: str, module: str, old: str, new: str) -> Mutant:
    found_by = tuple(f"tests/{test}" for test in _TESTS)
    return Mutant(name, f"worker/hotswap/{module}.py", old, new, "who may command", found_by)


_GUARD, _FOLD, _KEYS = "trust/guard", "trust/fold", "trust/keys"

TRUSTS = [
    _trust("a signature is not verified", _GUARD, "if not is_signed(key.public, signatures[0], message):", "if False:"),
    _trust(
        "an unsigned command is folded",
        _GUARD,
        "if role is Role.TRUST or self.since is not None:",
        "if role is Role.TRUST:",
    ),
    _trust(
        "signatures are required by an unsigned command",
        _GUARD,
        "role is Role.TRUST or self.since is not None",
        "self.since is not None",
    ),
    _trust("what a log had accepted is refused", _GUARD, "role is Role.TRUST or self.since is not None", "True"),
    _trust("a key has every role", _GUARD, "if role and role not in key.roles:", "if False:"),
    _trust("a key is for every deployment", _GUARD, "if not key.commands(self.deployment):", "if False:"),
    _trust("a key signs before it begins", _GUARD, "if timestamp_ms < key.not_before.timestamp() * 1000:", "if False:"),
    _trust("a key never ends", _GUARD, "if timestamp_ms > key.not_after.timestamp() * 1000:", "if False:"),
    _trust("a revoked key signs", _GUARD, "if key.id in self.revoked:", "if False:"),
    _trust(
        "of several signatures one counts",
        _GUARD,
        "(len(keys), len(signatures)) != (1, 1)",
        "not (keys and signatures)",
    ),
    _trust("a later requirement moves the first", _GUARD, "offset if self.since is None else self.since", "offset"),
    _trust(
        "a header without a value ends the worker",
        _GUARD,
        '[value or b"" for name, value in record.headers if name == KEY_ID]',
        "[value for name, value in record.headers if name == KEY_ID]",
    ),
    _trust(
        "a command is folded before it is verified",
        _FOLD,
        "            self.guard.check(_ROLES",
        "            self.timeline.receive(command, record.timestamp)\n            self.guard.check(_ROLES",
    ),
    _trust(
        "a refused revocation is applied",
        _FOLD,
        "isinstance(command, TrustCommand) and verdict.outcome is Outcome.APPLIED",
        "isinstance(command, TrustCommand)",
    ),
    _trust("a signed command is valid on every topic", _KEYS, ";topic={topic};", ";topic=;"),
    _trust("a signed command is valid on every cluster", _KEYS, ";cluster={cluster}", ";cluster="),
    _trust(
        "a file that takes back what was accepted is taken",
        "trust/renewal",
        "after.outcome is Outcome.REFUSED",
        "False",
    ),
    _trust(
        "a file that lets in more is used in a timeline that has gone on",
        "trust/renewal",
        "(before.code in CODES) != (after.code in CODES)",
        "False",
    ),
    _trust(
        "a client does not verify",
        "client/history",
        "cls(Fold.of(settings, trust=trust))",
        "cls(Fold(settings.deployment))",
    ),
    _trust(
        "a stranger's refusal answers for another's command", "control", " and not self.fold.is_foreign(verdict)", ""
    ),
]
