"""The defects that `make mutants` plants, one at a time, each in a rule that a promise stands on."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A defect in a function, and the promise that it breaks.

    `place` is the function, as `module:Class.function`. `old` is an expression or statements that it has there once, in
    whatever layout, and `new` what stands there instead. `found_by` is who has to find it: the model, or tests of a
    rule alone.
    """

    name: str
    place: str
    old: str
    new: str
    breaks: str
    found_by: tuple[str, ...] = ("tests/model/test_protocol.py",)


DEFECTS = [
    Mutant(
        "a stale generation is accepted",
        "hotswap.swap.timeline:Timeline._accept_generation",
        "command.generation <= self.newest",
        "command.generation < 0",
        "I8",
    ),
    Mutant(
        "ids may be used again",
        "hotswap.swap.timeline:Timeline.receive",
        "command_id in self._seen",
        "not command_id",
        "I7",
    ),
    Mutant(
        "parts are inherited from the first generation",
        "hotswap.swap.timeline:Timeline._inherit",
        "self.newest",
        "min(self.swaps)",
        "I2, I9",
    ),
    Mutant(
        "an expired command is accepted",
        "hotswap.swap.timeline:Timeline._accept_generation",
        "timestamp_ms > command.not_after_ms",
        "timestamp_ms < 0",
        "I9",
    ),
    Mutant(
        "a rollback keeps the old number",
        "hotswap.swap.timeline:Timeline._accept_generation",
        "replace(old, number=command.generation)",
        "old",
        "I2",
    ),
    Mutant(
        "a partition goes back behind its floor",
        "hotswap.agenda.progress:Progress.course",
        "swap.number < position.floor",
        "swap.number < 0",
        "I3",
    ),
    Mutant(
        "a cut is one too late",
        "hotswap.swap.timeline:Swap.takes",
        "position.offset >= cut",
        "position.offset > cut",
        "I4",
    ),
    Mutant(
        "a batch goes over the next cut",
        "hotswap.agenda.progress:Progress.choose",
        "Serve(swap.number, until)",
        "Serve(swap.number, None)",
        "I4",
    ),
    Mutant(
        "behind a cut the old generation goes on", "hotswap.agenda.progress:Progress.course", "swap.cut", "()", "I4"
    ),
    Mutant(
        "a cut of an empty partition is at once",
        "hotswap.agenda.progress:Progress.course",
        "partition in swap.cut",
        "swap.cut.get(partition, 0) > 0",
        "I4",
    ),
    Mutant(
        "a failed generation is waited for",
        "hotswap.agenda.progress:Progress.course",
        "state is GenerationState.FAILED and swap.number != position.floor",
        "swap.number < 0",
        "I5",
    ),
    Mutant(
        "a pause is not heard",
        "hotswap.agenda.progress:Progress.choose",
        "self.timeline.is_paused",
        "not self.timeline.swaps",
        "the pause",
    ),
    Mutant(
        "a generation is let go while it scores",
        "hotswap.agenda.agenda:Agenda._unneeded",
        "kept |= {state.in_hand for state in own.values() if state.in_hand is not None} | self.progress.newest_intact",
        "kept |= self.progress.newest_intact",
        "I11",
    ),
    Mutant(
        "only the newest generation is staged",
        "hotswap.agenda.agenda:Agenda._needed",
        "needed.add(swap.number)",
        "pass",
        "every request is answered",
    ),
    Mutant(
        "the pipeline takes more than its decision",
        "hotswap.pipeline.loop:PartitionLoop._advance",
        "choice.until",
        "None",
        "I4",
    ),
    Mutant(
        "a batch in a looping model is never given up",
        "hotswap.pipeline.loop:PartitionLoop.reconsider",
        "self._task.cancel()",
        "pass",
        "the newer generation is served",
    ),
    Mutant(
        "a batch that was given up ends its partition",
        "hotswap.pipeline.loop:PartitionLoop._give_up",
        "self.state.step is not Step.OVERTAKEN or self._task.uncancel()",
        "self.state.step is Step.OVERTAKEN",
        "every request is answered",
    ),
    Mutant(
        "a pause leaves a looping model its batch",
        "hotswap.agenda.progress:Progress.is_overtaken",
        "self.timeline.is_paused or (isinstance(choice, Serve) and choice.number != number)",
        "not self.timeline.is_paused and (isinstance(choice, Serve) and choice.number != number)",
        "the pause",
    ),
    Mutant("the floor is forgotten", "hotswap.pipeline.loop:PartitionLoop.run", "self.state.position.floor", "0", "I3"),
    Mutant(
        "the last request of a batch is scored again",
        "hotswap.pipeline.answering:take",
        "requests[-1].offset + 1",
        "requests[-1].offset",
        "I1, I11",
    ),
    Mutant(
        "every transaction announces a cut-over",
        "hotswap.pipeline.loop:PartitionLoop._answer",
        "at.offset if at.floor != number else None",
        "at.offset",
        "I4",
    ),
    Mutant(
        "a further batch goes over the next cut",
        "hotswap.pipeline.loop:PartitionLoop._following",
        "choice.until",
        "None",
        "I4",
    ),
    Mutant(
        "a transaction goes on in another generation's requests",
        "hotswap.pipeline.loop:PartitionLoop._following",
        "isinstance(choice, Serve) and choice.number == number",
        "isinstance(choice, Serve)",
        "I2, I4",
        ("tests/unit/pipeline/test_transactions.py",),
    ),
    Mutant(
        "only the last answers of a transaction are written",
        "hotswap.pipeline.loop:PartitionLoop._answer",
        "self._source.write(answers)",
        "pass",
        "I1",
    ),
    Mutant(
        "what is committed early cuts over twice",
        "hotswap.pipeline.loop:PartitionLoop._ask_in_time",
        "work.cut_over_at = None",
        "pass",
        "I4",
        ("tests/unit/pipeline/test_transactions.py",),
    ),
    Mutant(
        "a refused request gets a place among the answers",
        "hotswap.pipeline.answering:Answering._seal",
        "one.record if one.is_prediction else None",
        "one.record",
        "I1",
        ("tests/unit/pipeline/test_answering.py",),
    ),
    Mutant(
        "a doubtful producer is kept",
        "hotswap.pipeline.loop:PartitionLoop.run",
        "await self._source.close()",
        "pass",
        "I1",
    ),
    Mutant(
        "refused requests are forgotten",
        "hotswap.pipeline.addressing:Address.records",
        "predictions if is_prediction else dead_letters",
        "predictions if is_prediction else []",
        "I1",
    ),
    Mutant(
        "refusals come first",
        "hotswap.pipeline.answering:_ask",
        "[ask if isinstance(ask, Refusal) else next(rest) for ask in asks]",
        "[*(ask for ask in asks if isinstance(ask, Refusal)), *rest]",
        "I1, I2",
    ),
    Mutant(
        "markers keep a partition before its cut",
        "hotswap.pipeline.loop:PartitionLoop._pass",
        "number != at.floor",
        "not number",
        "I10",
    ),
    Mutant(
        "a revoked loop is waited for, whatever it does",
        "hotswap.pipeline.partitions:Pipeline._end",
        "for task in late:\n    task.cancel()",
        "for task in ():\n    task.cancel()",
        "every request is answered",
        ("tests/unit/pipeline/test_rebalances.py",),
    ),
    Mutant(
        "the offset is read before the fence",
        "hotswap.kafka.partition.partition:KafkaPartition._open",
        "await cluster.brokers.look()",
        "await cluster.brokers.look()\n"
        "position = await self._positions.read(producers.producers)\n"
        "self._positions.read = lambda _: asyncio.sleep(0, position)",
        "I1",
    ),
    Mutant(
        "what lost its marker stays open",
        "hotswap.kafka.partition.partition:KafkaPartition._open",
        "await self._end_what_is_open(producers)",
        "pass",
        "I1",
    ),
    Mutant(
        "what lost its marker is aborted although the offset is past it",
        "hotswap.kafka.partition.partition:KafkaPartition._end_what_is_open",
        "await self._positions.left_open(producers.producers)",
        "(await self._positions.left_open(producers.producers))[0], False",
        "I1",
    ),
    Mutant(
        "an offset counts although its answers were aborted",
        "hotswap.kafka.partition.position:Positions._witnessed",
        "is_torn and (last or tail.is_all)",
        "is_torn and False",
        "I1",
    ),
    Mutant(
        "aborted answers count only behind a committed one",
        "hotswap.kafka.partition.position:Positions._witnessed",
        "is_torn and (last or tail.is_all)",
        "is_torn and last",
        "liveness",
        ("tests/unit/kafka/partition/test_position.py",),
    ),
    Mutant(
        "the answers are no witness",
        "hotswap.kafka.partition.position:Positions._witnessed",
        "last and last.offset >= next_offset",
        "not last and last",
        "I1",
    ),
    Mutant(
        "a coordinator that loads means nothing is committed",
        "hotswap.kafka.topics.admin:Admin._committed",
        "if (missing := [key.partition for key in keys if key not in answer]):\n"
        "    raise Doubt(f'offsets of {group} on {topic}: no answer for partitions {missing}; the "
        "coordinator is loading')",
        "answer = dict.fromkeys(keys, type('Never', (), {'offset': -1, 'metadata': ''})) | answer\n"
        "if (missing := []):\n"
        "    raise Doubt(f'offsets of {group} on {topic}: no answer for partitions {missing}; the "
        "coordinator is loading')",
        "I1",
    ),
    Mutant(
        "a partition stays paused when it is opened again",
        "hotswap.kafka.group.membership:Membership.seek",
        "self._resume(inbox)",
        "pass",
        "every request is answered",
    ),
]
