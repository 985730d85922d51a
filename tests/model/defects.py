"""The defects that `make mutants` plants, one at a time, each in a rule that a promise stands on."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A defect: the text of `file` that is replaced (it occurs there once), and the promise that this breaks.

    `found_by` is who has to find it: the model, or tests of a rule alone.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    found_by: tuple[str, ...] = ("tests/model/test_protocol.py",)


SWAP, PIPELINE = "worker/hotswap/swap.py", "worker/hotswap/pipeline/loop.py"
ANSWERING, ADDRESSING = "worker/hotswap/pipeline/answering.py", "worker/hotswap/pipeline/addressing.py"
INBOX = "worker/hotswap/kafka/group/inbox.py"
RECORDS, CONTENTS = "worker/hotswap/kafka/topics/records.py", "worker/hotswap/kafka/topics/contents.py"
PARTITIONS = "worker/hotswap/pipeline/partitions.py"
PROGRESS, AGENDA = "worker/hotswap/agenda/progress.py", "worker/hotswap/agenda/agenda.py"
PARTITION, POSITION, MEMBERSHIP, ADMIN = (
    "worker/hotswap/kafka/partition/partition.py",
    "worker/hotswap/kafka/partition/position.py",
    "worker/hotswap/kafka/group/membership.py",
    "worker/hotswap/kafka/topics/admin.py",
)

DEFECTS = [
    Mutant(
        "a stale generation is accepted",
        SWAP,
        "if command.generation <= self.newest:",
        "if command.generation < 0:",
        "I8",
    ),
    Mutant("ids may be used again", SWAP, "if command_id in self._seen:", "if not command_id:", "I7"),
    Mutant(
        "parts are inherited from the first generation",
        SWAP,
        "self._base(command.base or self.newest)",
        "self._base(command.base or min(self.swaps))",
        "I2, I9",
    ),
    Mutant("an expired command is accepted", SWAP, "timestamp_ms > command.not_after_ms", "timestamp_ms < 0", "I9"),
    Mutant(
        "a rollback keeps the old number",
        SWAP,
        "replace(old, number=command.generation)",
        "old",
        "I2",
    ),
    Mutant(
        "a partition goes back behind its floor",
        PROGRESS,
        "if swap.number < position.floor:",
        "if swap.number < 0:",
        "I3",
    ),
    Mutant("a cut is one too late", SWAP, "return offset >= self.cut", "return offset > self.cut", "I4"),
    Mutant(
        "a batch goes over the next cut",
        PROGRESS,
        "return Serve(swap.number, until)",
        "return Serve(swap.number, None)",
        "I4",
    ),
    Mutant(
        "behind a cut the old generation goes on",
        PROGRESS,
        "or partition in swap.cut)",
        "or partition in ())",
        "I4",
    ),
    Mutant(
        "a cut of an empty partition is at once",
        PROGRESS,
        "or partition in swap.cut)",
        "or swap.cut.get(partition, 0) > 0)",
        "I4",
    ),
    Mutant(
        "a failed generation is waited for",
        PROGRESS,
        "if state is State.FAILED and swap.number != position.floor:",
        "if swap.number < 0:",
        "I5",
    ),
    Mutant("a pause is not heard", PROGRESS, "if self.timeline.is_paused:", "if not self.timeline.swaps:", "the pause"),
    Mutant(
        "a generation is let go while it scores",
        AGENDA,
        "kept |= {state.in_hand for state in own.values() if state.in_hand is not None}",
        "pass",
        "I11",
    ),
    Mutant(
        "only the newest generation is staged",
        AGENDA,
        "needed.add(swap.number)",
        "pass",
        "every request is answered",
    ),
    Mutant(
        "the pipeline takes more than its decision",
        PIPELINE,
        "self._take(serving, choice.until):",
        "self._take(serving, None):",
        "I4",
    ),
    Mutant(
        "a batch in a looping model is never given up",
        PIPELINE,
        "            self.state.move(Step.OVERTAKEN, in_hand=number)\n            self._task.cancel()\n",
        "            self.state.move(Step.OVERTAKEN, in_hand=number)\n",
        "the newer generation is served",
    ),
    Mutant(
        "a batch that was given up ends its partition",
        PIPELINE,
        "if self.state.step is not Step.OVERTAKEN or self._task.uncancel():",
        "if self.state.step is Step.OVERTAKEN:",
        "every request is answered",
    ),
    Mutant(
        "a pause leaves a looping model its batch",
        PROGRESS,
        "return self.timeline.is_paused or (",
        "return not self.timeline.is_paused and (",
        "the pause",
    ),
    Mutant(
        "the floor is forgotten",
        PIPELINE,
        "Position(offset, self.state.position.floor)",
        "Position(offset, 0)",
        "I3",
    ),
    Mutant(
        "the last request of a batch is scored again",
        PIPELINE,
        "requests[-1].offset + 1, len(requests)",
        "requests[-1].offset, len(requests)",
        "I1, I11",
    ),
    Mutant(
        "every transaction announces a cut-over",
        PIPELINE,
        "_Work(number, at.offset if at.floor != number else None)",
        "_Work(number, at.offset)",
        "I4",
    ),
    Mutant(
        "a further batch goes over the next cut",
        PIPELINE,
        "self._take(serving, choice.until) if",
        "self._take(serving, None) if",
        "I4",
    ),
    Mutant(
        "a transaction goes on in another generation's requests",
        PIPELINE,
        "if isinstance(choice, Serve) and choice.number == number else None",
        "if isinstance(choice, Serve) else None",
        "I2, I4",
        ("tests/unit/pipeline/test_transactions.py",),
    ),
    Mutant(
        "only the last answers of a transaction are written",
        PIPELINE,
        "                self._source.write(answers)\n",
        "                pass\n",
        "I1",
    ),
    Mutant(
        "what is committed early cuts over twice",
        PIPELINE,
        "                work.cut_over_at = None\n",
        "                pass\n",
        "I4",
        ("tests/unit/pipeline/test_transactions.py",),
    ),
    Mutant(
        "a refused request gets a place among the answers",
        ANSWERING,
        "one.record if one.is_prediction else None",
        "one.record",
        "I1",
        ("tests/unit/pipeline/test_answering.py",),
    ),
    Mutant(
        "a doubtful producer is kept",
        PIPELINE,
        "                await self._source.close()\n",
        "                pass\n",
        "I1",
    ),
    Mutant(
        "refused requests are forgotten",
        ADDRESSING,
        "(predictions if is_prediction else dead_letters).append(record)",
        "(predictions if is_prediction else []).append(record)",
        "I1",
    ),
    Mutant(
        "refusals come first",
        ANSWERING,
        "return [ask if isinstance(ask, Refusal) else next(rest) for ask in asks]",
        "return [*(ask for ask in asks if isinstance(ask, Refusal)), *rest]",
        "I1, I2",
    ),
    Mutant(
        "markers keep a partition before its cut",
        PIPELINE,
        "if number != at.floor:",
        "if not number:",
        "I10",
    ),
    Mutant(
        "a revoked loop is waited for, whatever it does",
        PARTITIONS,
        "            for task in late:\n",
        "            for task in ():\n",
        "every request is answered",
        ("tests/unit/pipeline/test_rebalances.py",),
    ),
    Mutant(
        "the offset is read before the fence",
        PARTITION,
        "            await producers.init()\n",
        "            position = await self._positions.read(producers.producers)\n"
        "            self._positions.read = lambda _: asyncio.sleep(0, position)\n"
        "            await producers.init()\n",
        "I1",
    ),
    Mutant(
        "what lost its marker stays open",
        PARTITION,
        "            await self._end_what_is_open(producers)\n",
        "            pass\n",
        "I1",
    ),
    Mutant(
        "what lost its marker is aborted although the offset is past it",
        PARTITION,
        "left, is_committed = await self._positions.left_open(producers.producers)",
        "left, is_committed = (await self._positions.left_open(producers.producers))[0], False",
        "I1",
    ),
    Mutant(
        "an offset counts although its answers were aborted",
        POSITION,
        "if last and tail.aborted is not None and next_offset - ONE_TRANSACTION < tail.aborted < next_offset:",
        "if not last and last:",
        "I1",
    ),
    Mutant(
        "the answers are no witness",
        POSITION,
        "if last and last.offset >= next_offset:",
        "if not last and last:",
        "I1",
    ),
    Mutant(
        "a coordinator that loads means nothing is committed",
        ADMIN,
        "if missing := [key.partition for key in asked if key not in answer]:",
        'answer = dict.fromkeys(asked, type("Never", (), {"offset": -1, "metadata": ""})) | answer\n'
        "        if missing := []:",
        "I1",
    ),
    Mutant(
        "a partition stays paused when it is opened again",
        MEMBERSHIP,
        "        self._seek(inbox, offset)\n        self._resume(inbox)\n",
        "        self._seek(inbox, offset)\n",
        "every request is answered",
    ),
]
