"""The defects in who may command, which the tests of that have to find."""

from model.defects import Mutant

_TESTS = (
    "unit/trust/test_guard.py",
    "unit/trust/test_renewal.py",
    "unit/client/test_client_signing.py",
    "unit/test_control_signatures.py",
)


def _trust(name: str, place: str, old: str, new: str) -> Mutant:
    found_by = tuple(f"tests/{test}" for test in _TESTS)
    return Mutant(name, f"hotswap.{place}", old, new, "who may command", found_by)


TRUSTS = [
    _trust(
        "a signature is not verified",
        "trust.guard:Guard._signer",
        "not is_signed(key.public, signatures[0], message)",
        "False",
    ),
    _trust(
        "an unsigned command is folded",
        "trust.guard:Guard.check",
        "role is SigningRole.TRUST or self.since is not None",
        "role is SigningRole.TRUST",
    ),
    _trust(
        "signatures are required by an unsigned command",
        "trust.guard:Guard.check",
        "role is SigningRole.TRUST or self.since is not None",
        "self.since is not None",
    ),
    _trust(
        "what a log had accepted is refused",
        "trust.guard:Guard.check",
        "role is SigningRole.TRUST or self.since is not None",
        "True",
    ),
    _trust("a key has every role", "trust.guard:Guard._check_right", "role and role not in key.roles", "False"),
    _trust(
        "a key is for every deployment", "trust.guard:Guard._check_right", "not key.commands(self.deployment)", "False"
    ),
    _trust(
        "a key signs before it begins",
        "trust.guard:Guard._check_right",
        "timestamp_ms < key.not_before.timestamp() * 1000",
        "False",
    ),
    _trust(
        "a key never ends", "trust.guard:Guard._check_right", "timestamp_ms > key.not_after.timestamp() * 1000", "False"
    ),
    _trust("a revoked key signs", "trust.guard:Guard._check_right", "key.id in self.revoked", "False"),
    _trust(
        "of several signatures one counts",
        "trust.guard:Guard._signer",
        "(len(keys), len(signatures)) != (1, 1)",
        "not (keys and signatures)",
    ),
    _trust(
        "a later requirement moves the first",
        "trust.guard:Guard.enforce",
        "offset if self.since is None else self.since",
        "offset",
    ),
    _trust(
        "a header without a value ends the worker",
        "trust.guard:Guard._signer",
        '[value or b"" for name, value in record.headers if name == KEY_ID]',
        "[value for name, value in record.headers if name == KEY_ID]",
    ),
    _trust(
        "a command is folded before it is verified",
        "trust.fold:Fold.receive",
        "self.guard.check(_ROLES.get(type(command)), record)",
        "self.timeline.receive(command, record.timestamp)\nself.guard.check(_ROLES.get(type(command)), record)",
    ),
    _trust(
        "a refused revocation is applied",
        "trust.fold:Fold.receive",
        "isinstance(command, TrustCommand) and verdict.outcome is Outcome.APPLIED",
        "isinstance(command, TrustCommand)",
    ),
    _trust(
        "a signed command is valid on every topic",
        "trust.keys:signed_bytes",
        'f"application/vnd.hotswap.command;topic={topic};cluster={cluster}"',
        'f"application/vnd.hotswap.command;topic=;cluster={cluster}"',
    ),
    _trust(
        "a signed command is valid on every cluster",
        "trust.keys:signed_bytes",
        'f"application/vnd.hotswap.command;topic={topic};cluster={cluster}"',
        'f"application/vnd.hotswap.command;topic={topic};cluster="',
    ),
    _trust(
        "a file that takes back what was accepted is taken",
        "trust.renewal:Renewal.receive",
        "after.outcome is Outcome.REFUSED",
        "False",
    ),
    _trust(
        "a file that lets in more is used in a timeline that has gone on",
        "trust.renewal:Renewal.receive",
        "(before.code in CODES) != (after.code in CODES)",
        "False",
    ),
    _trust(
        "a client does not verify",
        "client.history:History.of",
        "Fold.of(settings, trust=trust)",
        "Fold(settings.deployment)",
    ),
    _trust(
        "a stranger's refusal answers for another's command",
        "control:Control._receive",
        "verdict.outcome is not None and is_young and not self.fold.is_foreign(verdict)",
        "verdict.outcome is not None and is_young",
    ),
]
