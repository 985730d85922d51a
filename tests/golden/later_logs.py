"""Makes `control_logs.2.jsonl.gz`: logs with the commands that came with version 2 of the contract, and their states.

Made once, at the commit that brought version 2 (make_golden.py says why), with .venv/bin/python -m golden.later_logs in
tests/. They have staged cut-overs, promotes, abandons and golden answers, and the same in commands that forget to name
the version.
"""

import logging
import sys

from golden.make_golden import LATER, Chance, write

_SEED, _LOGS, _RECORDS = 2_027, 16, 100
_2023_S = 1_700_000_000
_MOST = (1 << 64) - 1
_DIGESTS = tuple(f"{number:064x}" for number in range(3))


class LaterChance(Chance):
    """A seeded stream of records of which every other command has something of version 2."""

    def __init__(self, seed, *, is_edgy):
        super().__init__(seed, is_edgy=is_edgy)
        self._kinds = {
            self._swap: 26,
            self._rollback: 8,
            self._staged: 24,
            self._promote: 26,
            self._abandon: 12,
            self._pause: 2,
            self._resume: 2,
            lambda _: None: 1,
        }

    def _command(self):
        command = super()._command()
        # Some forget what they need, or name what can never be. What needs 3 would mean something else to version 3.
        forgets = self._random.random() < 0.1
        command.least_version = self._random.choice((0, 1, 1_001, (1 << 32) - 1)) if forgets else 2
        return command

    def _swap(self, command):
        super()._swap(command)
        if self._random.random() < 0.25:
            golden = command.swap.golden
            golden.SetInParent()
            if self._random.random() < 0.7:
                golden.uri = f"s3://golden/{self._random.randrange(3)}.json"
                golden.sha256 = self._random.choice((*_DIGESTS, _DIGESTS[2].upper(), "no digest"))

    def _staged(self, command):
        build = self._random.choice((self._swap, self._swap, self._rollback))
        build(command)
        order = command.swap if command.HasField("swap") else command.rollback
        order.generation = self._next()
        order.cut_over.staged = True
        if self._random.random() < 0.3:
            until = order.cut_over.promote_by
            until.seconds = self._random.choice((0, _2023_S + self._count + self._random.randrange(20), 1 << 62))
            until.nanos = self._random.choice((0, 0, 999_999_999, -1))

    def _next(self):
        """The next number, mostly: what is staged is to be accepted."""
        return min(self._folded.timeline.newest + 1, _MOST) if self._random.random() < 0.8 else self._number()

    def _promote(self, command):
        promote = command.promote
        promote.generation = self._aimed()
        promote.complete = self._random.random() < 0.3
        for partition in self._random.sample((0, 1, 2, 3, 11, (1 << 32) - 1), self._random.randrange(4)):
            promote.offsets[partition] = self._random.choice((0, 0, 5, 7, 900, 1_000, 1 << 53, _MOST))

    def _abandon(self, command):
        abandon = command.abandon
        abandon.generation, abandon.abandoned = self._next(), self._aimed()
        if self._random.random() < 0.3:
            abandon.to = self._known()
        if self._random.random() < 0.4:
            abandon.offsets[self._random.randrange(3)] = self._random.choice((0, 7, 1_000))

    def _aimed(self):
        """The newest generation, mostly."""
        return self._folded.timeline.newest if self._random.random() < 0.8 else self._known()


def _made():
    for number in range(_LOGS):
        is_edgy = number % 4 == 3
        chance = LaterChance(_SEED * 1_000 + number, is_edgy=is_edgy)
        yield (f"later-{'edges' if is_edgy else 'usual'}-{number}", *chance.log(_RECORDS, version=2))


if __name__ == "__main__":
    logging.disable()
    sys.exit(write(LATER, _made()))
