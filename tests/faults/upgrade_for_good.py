"""An upgrade after which the log has what the other version does not know: swaps to another proto before and after."""

from fractions import Fraction
from itertools import cycle

from faults.arena import MODELS
from faults.other_version import OURS, command_line, replace_worker
from faults.rollouts import Acts
from harness.fleet import EXAMPLES
from hotswap.client.change import Change, Rollout
from hotswap.errors import UsageError

_LATER = "needs version 2 of its contract"
_TOO_OLD = 3
"""The exit code of a command that cannot work as it is."""


async def for_good(arena, seconds, old):
    """Replace the workers one by one; swap to another proto while any old one lives, and once none does."""
    acts, swaps = Acts(arena), _Swaps(arena)
    left = list(arena.workers)
    while left:
        await swaps.is_refused_in_parts(left)
        await swaps.in_one_step(acts, left)
        await arena.publisher.reach(seconds / 6 * arena.terms.per_second, seconds + 60)
        await replace_worker(arena, left.pop(0), OURS)
    await swaps.by_old_client(acts, old)
    for _ in range(3):
        await swaps.staged(acts)
    await _cannot_be_read(arena, old)
    await acts.canary()
    await acts.compare()
    assert not arena.verifier.held, f"{arena.verifier.held} held the deployment"
    arena.figures |= swaps.figures


class _Swaps:
    """Swaps from one proto to the other, and to models of the same one."""

    def __init__(self, arena):
        self._arena = arena
        self._examples = cycle((("cancer_gbm", "cancer"), ("iris_glm", "iris")))
        self._is_first = True
        self.figures = dict.fromkeys(("in one step", "refused in parts", "by old clients", "staged"), 0)

    def _next(self):
        model, self._example = next(self._examples)
        examples = EXAMPLES / "models" / f"{model}.zip", EXAMPLES / "protos" / f"{self._example}.proto"
        return Change(model=examples[0], proto=examples[1], rollout=Rollout())

    async def is_refused_in_parts(self, old):
        """A canary names the workers that would not understand it, and nothing is written."""
        change = Change(model=EXAMPLES / "models" / f"{MODELS[1]}.zip", rollout=Rollout(canary=Fraction(1, 2)))
        try:
            receipt = await self._arena.client.swap(change)
        except UsageError as refused:
            why = str(refused)
        else:
            raise AssertionError(f"a canary was staged although {old} do not know it: {receipt}")
        assert _names(old, why), why
        self.figures["refused in parts"] += 1
        self._arena.say(why)

    async def in_one_step(self, acts, old):
        """Another proto is swapped to without staging, the publisher is told why, and changes over at the cut."""
        await self._arena.publisher.rest()
        receipt = await self._arena.command(self._next())
        (note,) = receipt.notes
        assert receipt.rollout is None, receipt
        assert _names(old, note), note
        assert "in one step" in note, note
        await self._cut_everywhere(acts, receipt)
        self.figures["in one step"] += 1
        self._arena.say(f"generation {receipt.generation}: {note}")

    async def by_old_client(self, acts, old):
        """The other version's client swaps on a fleet that is all new, whose log it can read so far."""
        model = EXAMPLES / "models" / f"{_other(self._example)}.zip"
        number = max(map(max, acts.may.values())) + 1
        await command_line(self._arena, old, "swap", "--model", model, "--json")
        self._arena._newest = number
        acts.may = {partition: {number} for partition in acts.may}
        await acts.scored()
        self.figures["by old clients"] += 1

    async def staged(self, acts):
        """Once no old worker lives it is staged, and promoted while the publisher waits."""
        receipt = await self._arena.command(self._next())
        assert receipt.rollout is not None, receipt
        assert not receipt.cut, receipt
        is_said = any("the first command" in note and "version 2" in note for note in receipt.notes)
        assert is_said == self._is_first, receipt.notes
        self._is_first = False
        await acts.promote(receipt.generation, None, changes_to=self._example)
        self.figures["staged"] += 1
        self._arena.say(f"generation {receipt.generation} was staged and promoted: {receipt.notes}")

    async def _cut_everywhere(self, acts, receipt):
        assert set(receipt.cut) == set(acts.may), receipt
        acts.may = {partition: {receipt.generation} for partition in acts.may}
        await acts.answered(receipt)
        await acts.scored()
        self._arena.publisher.change_over(self._example)
        self._arena.publisher.rate(self._arena.terms.per_second)


async def _cannot_be_read(arena, old):
    """From the first command of version 2 on, the other version's client says that it is too old; it writes nothing."""
    before = len(arena.verifier.lots)
    for command, *words in (("swap", "--model", EXAMPLES / "models" / "iris_gbm.zip"), ("pause",)):
        _, said = await command_line(arena, old, command, *words, code=_TOO_OLD)
        assert _LATER in said, said
        arena.say(f"{command} by an old client: {said.strip().splitlines()[-1]}")
    assert len(arena.verifier.lots) == before, "an old client wrote a generation"


def _names(workers, text):
    return all(worker in text for worker in workers)


def _other(example):
    return {"iris": "iris_gbm", "cancer": "cancer_gbm"}[example]
