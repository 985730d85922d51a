"""Somebody with the right to write to the status topic, and no other: plain records, made without the worker's code."""

import random
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from faults.fold import Command, Status

OUTCOMES = ("STAGING", "READY", "SERVING", "REFUSED", "FAILED", "SUPERSEDED", "APPLIED", "DUPLICATE", "HELD", "RETIRED")
_OUTCOMES = Status.DESCRIPTOR.file.enum_types_by_name["Outcome"].values_by_name
_NEVER_S = 4_000_000_000


class Forger:
    """Writes reports of a deployment's workers; it knows what anybody who reads the control topic knows."""

    def __init__(self, deployment, seed=1):
        self._deployment = deployment
        self._topics = deployment.settings.topics
        self._producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap, "linger.ms": 5})
        self._chance = random.Random(seed)

    def commands(self):
        """Return the ids and the generations of the commands that were written."""
        consumer = Consumer({"bootstrap.servers": self._deployment.kafka.bootstrap, "group.id": "x"})
        try:
            _, end = consumer.get_watermark_offsets(place := TopicPartition(self._topics.control, 0, OFFSET_BEGINNING))
            consumer.assign([place])
            found = []
            while not found or found[-1].offset() < end - 1:
                if (message := consumer.poll(10)) is None:
                    break
                found.append(message)
        finally:
            consumer.close()
        made = [Command.FromString(one.value()) for one in found if one.value()]
        return [
            (one.command_id, getattr(one, one.WhichOneof("kind")).generation) for one in made if one.HasField("swap")
        ]

    def outcome(self, worker, command_id, generation, outcome="SERVING", at_s=None):
        """Report a worker's outcome of a command."""
        status = Status()
        said = status.swap
        said.deployment, said.worker, said.command_id = self._deployment.name, worker, command_id
        said.generation, said.code, said.message = generation, "FORGED", "forged"
        said.outcome = _OUTCOMES[f"OUTCOME_{outcome}"].number
        self._write(f"{self._deployment.name}/{generation}/{worker}/{command_id}", status, said, at_s)

    def worker(self, worker, generation, held=(), at_s=None, **more):
        """Report what a worker serves, and the partitions that it holds."""
        status = Status()
        said = status.worker
        said.deployment, said.worker, said.generation, said.accepted = (
            self._deployment.name,
            worker,
            generation,
            generation,
        )
        for number in held:
            said.partitions.add(partition=number, held="forged")
        for name, value in more.items():
            setattr(said, name, value)
        self._write(f"{self._deployment.name}/{worker}", status, said, at_s)

    def flood(self, count, workers=("w1", "w2"), known=None):
        """Write so many reports of everything, under workers' names and made-up ones; `known` None: of all commands."""
        chance, known = self._chance, [*(self.commands() if known is None else known), ("made-up", 7)]
        for number in range(count):
            name = chance.choice((*workers, f"ghost-{number}", f"ghost-{chance.randrange(100)}"))
            at_s = chance.choice((None, None, 0, _NEVER_S))
            newest = max(generation for _, generation in known)
            if chance.random() < 0.5:
                command_id, generation = chance.choice(known)
                self.outcome(name, command_id, generation, chance.choice(OUTCOMES), at_s)
            else:
                generation = chance.choice((0, newest, newest + 1, 2**63))
                held = chance.sample(range(4), chance.randrange(4))
                self.worker(name, generation, held, at_s, stopped=chance.random() < 0.3)
        self.flush()

    def flush(self):
        self._producer.flush(60)

    def _write(self, key, status, said, at_s):
        said.at.FromSeconds(int(time.time()) if at_s is None else at_s)
        while True:
            try:
                self._producer.produce(self._topics.status, status.SerializeToString(), key, partition=0)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return
