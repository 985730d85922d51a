"""The defects in what a rebalance keeps, gives up and fetches again, and in what becomes of idle partitions."""

from model.defects import MEMBERSHIP, PARTITIONS, PIPELINE, Mutant

IDLE = ("tests/unit/pipeline/test_idle.py",)

REBALANCES = [
    Mutant(
        "markers that were passed are forgotten",
        PIPELINE,
        "        self.state.position = Position(at.offset, number)\n",
        "",
        "SERVING is said, be it of idle partitions",
        IDLE,
    ),
    Mutant(
        "what is held at markers alone is not looked at again",
        PIPELINE,
        "                        self._source.wake()  # to look again, though nothing but markers may be there\n",
        "",
        "a status says what holds a partition",
        IDLE,
    ),
    Mutant(
        "an answer from before a seek counts",
        MEMBERSHIP,
        "or inbox.sought_in > epoch:",
        "or epoch < 0:",
        "I1",
    ),
    Mutant(
        "an empty answer from before a seek counts",
        MEMBERSHIP,
        "                if inbox.sought_in > epoch:\n",
        "                if epoch < 0:\n",
        "I1",
    ),
    Mutant(
        "a kept partition goes on where the group has committed",
        MEMBERSHIP,
        "            self._seek(inbox, inbox.position or 0)\n",
        "            pass\n",
        "I1",
    ),
    Mutant(
        "what another worker may have had in between is kept",
        MEMBERSHIP,
        "before.membership <= number <= before.membership + 1",
        "before.membership <= number",
        "I1, where nothing fences",
        ("tests/unit/kafka/group/test_membership.py",),
    ),
    Mutant(
        "what has moved to another worker is not given up",
        PARTITIONS,
        "            else:\n                task.cancel()\n",
        "",
        "I10",
    ),
    Mutant(
        "what is kept is not opened again after a doubt",
        PARTITIONS,
        "            loop.go_on()\n",
        "            pass\n",
        "every request is answered",
    ),
]
