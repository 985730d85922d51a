"""Decides whether a changed trust file is accepted, by the log's meaning under it: no I/O, no clock."""

from hotswap.errors import SwapError
from hotswap.swap.command import Outcome, Verdict
from hotswap.trust.file import Trust
from hotswap.trust.fold import Fold
from hotswap.trust.guard import CODES, Guard, Record


class Renewal:
    """Folds a control log from its first record on under two trust files, and compares the verdicts.

    An accepted command must stay accepted (decision 37), so a file under which one would not be is not taken. Where
    another set of commands passes the signatures, the log must be folded anew: each of them uses up an id, and perhaps
    a number, so no verdict can be changed in a timeline that has gone on.
    """

    def __init__(self, guard: Guard, trust: Trust) -> None:
        """Start before the first record; `guard` has the file that is in use."""
        self._before = Fold(guard.deployment, guard=guard.anew())
        self._after = Fold(guard.deployment, guard=guard.anew(trust))
        self.lost = ""
        """Which accepted command would not be accepted under the new file, and why; empty: each would be."""
        self.other = ""
        """Which command is the first that only one of the files lets pass; empty: the log means the same under both."""

    @property
    def next_offset(self) -> int:
        """The offset after the last record."""
        return self._after.next_offset

    def receive(self, record: Record) -> None:
        """Compare the next record's outcome."""
        before, after = _verdict(self._before, record), _verdict(self._after, record)
        if before is None or self.lost:
            return
        at = f"command {before.command_id} at offset {record.offset}"
        if after is None:  # what was accepted before is so no more: a command that holds the deployment comes first
            self.lost = f"{at}, which was accepted, would not be read: {self._after.timeline.held}"
        elif before.outcome is not Outcome.REFUSED and after.outcome is Outcome.REFUSED:
            self.lost = f"{at}, which was accepted, would be refused: {after.code} {after.message}"
        elif (before.code in CODES) != (after.code in CODES) and not self.other:
            self.other = at


def _verdict(fold: Fold, record: Record) -> Verdict | None:
    try:
        folded = fold.receive(record)
    except SwapError:  # no command, whoever has signed it
        return None
    return folded and folded[1]
