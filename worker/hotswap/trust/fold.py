"""Folds a deployment's control records as every reader of the log does: verified first, then by `timeline.Timeline`."""

from hotswap.commands import command_for
from hotswap.errors import StartError, SwapError
from hotswap.settings import Settings
from hotswap.swap.command import (
    AbandonCommand,
    Command,
    LaterCommand,
    Outcome,
    PauseCommand,
    PromoteCommand,
    RollbackCommand,
    ShadowCommand,
    SkipCommand,
    SwapCommand,
    TrustCommand,
    Verdict,
)
from hotswap.swap.timeline import Timeline
from hotswap.trust.file import Trust
from hotswap.trust.guard import CODES, Guard, Record
from hotswap.trust.roles import SigningRole

_ROLES = {
    SwapCommand: SigningRole.SWAP,
    RollbackCommand: SigningRole.ROLLBACK,
    PromoteCommand: SigningRole.PROMOTE,
    AbandonCommand: SigningRole.PROMOTE,
    ShadowCommand: SigningRole.SWAP,
    PauseCommand: SigningRole.PAUSE,
    SkipCommand: SigningRole.SKIP,
    TrustCommand: SigningRole.TRUST,
}


class Fold:
    """The commands of one deployment, from the first record of its control log on.

    A worker's and a client's are the same, so that a client knows what the workers decide.
    """

    def __init__(self, deployment: str, timeline: Timeline | None = None, guard: Guard | None = None) -> None:
        self.deployment = deployment
        self.timeline = timeline or Timeline()
        self.guard = guard or Guard(deployment)
        self.next_offset = 0
        """Offset after the last record that was received."""

    @classmethod
    def of(cls, settings: Settings, timeline: Timeline | None = None, trust: Trust | None = None) -> "Fold":
        """Return one that has folded nothing yet, and verifies by `trust`, or else by the file that the settings name.

        Raises:
            UsageError: the trust file cannot be read, or is wrong.

        """
        trust = trust or (Trust.read(settings.trust) if settings.trust else None)
        guard = Guard(settings.deployment, trust=trust, topic=settings.topics.control)
        return cls(settings.deployment, timeline, guard)

    def receive(self, record: Record) -> tuple[Command | LaterCommand, Verdict] | None:
        """Fold the next record; return its command and the verdict, or None if it has none for this deployment.

        What the guard refuses is not folded: it uses up neither its command id nor a generation. After a command that
        needs a later version of the contract (`Timeline.held`), it is None, whatever the record has.

        Raises:
            SwapError: MALFORMED or DIGEST_MISMATCH, see `commands.decode_command`; nothing was folded.

        """
        self.next_offset = record.offset + 1
        command = None if self.timeline.held else command_for(self.deployment, record.value, self.timeline.version)
        if command is None:
            return None
        try:
            self.guard.check(_ROLES.get(type(command)), record)
        except SwapError as refused:
            number = getattr(command, "generation", 0)
            return command, Verdict(command.command_id, number, Outcome.REFUSED, refused.code, refused.message)
        if isinstance(command, LaterCommand):
            return command, self.timeline.hold(command, record.offset)
        verdict = self.timeline.receive(command, record.timestamp)
        if isinstance(command, TrustCommand) and verdict.outcome is Outcome.APPLIED:
            self.guard.enforce(command.revoked, record.offset)
        return command, verdict

    def check_settings(self, settings: Settings) -> None:
        """Check, after a replay, that the settings of this process are what the log needs.

        Commands must be signed if the settings require that; where a later version holds the deployment, that is not
        known: nothing is obeyed then, signed or not. A shadow answers what its log says, in a group and to topics of
        its own.

        Raises:
            StartError: they are not.

        """
        if settings.require_signatures and self.guard.since is None and not self.timeline.held:
            raise StartError(
                f"HOTSWAP_REQUIRE_SIGNATURES is set, but {settings.topics.control} has no valid command that requires "
                f"signatures for {self.deployment}: publish it, with `hotswap keys require {self.deployment} "
                "--sign-with KEY`"
            )
        self._check_shadow(settings)

    def _check_shadow(self, settings: Settings) -> None:
        shadowed = self.timeline.shadowed
        if shadowed is None:
            return
        own = settings.named(settings.deployment).model_copy(update={"requests_topic": shadowed.requests})
        if (settings.topics, settings.group_id) != (own.topics, own.group_id):
            raise StartError(
                f"{settings.deployment} is a shadow of {shadowed.of}: it answers the requests of {shadowed.requests}, "
                "to topics and in a group that are named after it. Unset HOTSWAP_REQUESTS_TOPIC, "
                "HOTSWAP_PREDICTIONS_TOPIC, HOTSWAP_DEAD_LETTERS_TOPIC and HOTSWAP_GROUP"
            )

    def is_foreign(self, verdict: Verdict) -> bool:
        """Whether a refusal is of a record that bears another one's id, without a right to it: no answer to that one.

        Otherwise whoever can write to the topic could have a worker report another's command as refused.
        """
        return verdict.code in CODES and self.timeline.has_seen(verdict.command_id)
