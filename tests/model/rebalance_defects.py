"""The defects in what a rebalance keeps, gives up and fetches again, and in what becomes of idle partitions."""

from model.defects import Mutant

IDLE = ("tests/unit/pipeline/test_idle.py",)

REBALANCES = [
    Mutant(
        "markers that were passed are forgotten",
        "hotswap.pipeline.loop:PartitionLoop._pass",
        "self.state.position = Position(at.offset, number)",
        "pass",
        "SERVING is said, be it of idle partitions",
        IDLE,
    ),
    Mutant(
        "what is held at markers alone is not looked at again",
        "hotswap.pipeline.loop:PartitionLoop.run",
        "self._source.wake()",
        "pass",
        "a status says what holds a partition",
        IDLE,
    ),
    Mutant(
        "an answer from before a seek counts",
        "hotswap.kafka.group.membership:Membership._deliver",
        "inbox.sought_in > epoch",
        "epoch < 0",
        "I1",
    ),
    Mutant(
        "an empty answer from before a seek counts",
        "hotswap.kafka.group.membership:Membership._rewind",
        "inbox.sought_in > epoch",
        "epoch < 0",
        "I1",
    ),
    Mutant(
        "a kept partition goes on where the group has committed",
        "hotswap.kafka.group.membership:Membership._take_over",
        "self._seek(inbox, inbox.position or 0)",
        "pass",
        "I1",
    ),
    Mutant(
        "what another worker may have had in between is kept",
        "hotswap.kafka.group.membership:Membership._take_over",
        "before.membership <= number <= before.membership + 1",
        "before.membership <= number",
        "I1, where nothing fences",
        ("tests/unit/kafka/group/test_membership.py",),
    ),
    Mutant(
        "what has moved to another worker is not given up",
        "hotswap.pipeline.partitions:Pipeline.assigned",
        "task.cancel()",
        "pass",
        "I10",
    ),
    Mutant(
        "what is kept is not opened again after a doubt",
        "hotswap.pipeline.partitions:Pipeline.assigned",
        "loop.go_on()",
        "pass",
        "every request is answered",
    ),
]
