"""The protocol under a hostile world: the worker's own code between a model of Kafka and a law that is written twice.

Hypothesis plays the world. It lets calls take effect one by one, late, or without an answer; stops workers and lets
them go on as zombies; kills them; moves partitions without telling the owner; and writes good, bad, stale, forged and
repeated commands. After every step the promises are looked at, and at the end the world comes to rest: then every
request must have been answered.

    HOTSWAP_MODEL_EXAMPLES=10000 HOTSWAP_MODEL_SEED=7 pytest tests/model    (`make model`)
"""

import os

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from harness.proofs import recorded
from model.canaries import Canaries
from model.chances import (
    PROTOS,
    WORKERS,
    model,
)
from model.world import everything_faked

EXAMPLES = int(os.environ.get("HOTSWAP_MODEL_EXAMPLES", "150"))
SEED = int(os.environ.get("HOTSWAP_MODEL_SEED", "0"))
IS_HUNT = os.environ.get("HOTSWAP_MODEL_HUNT") == "1"
"""Whether any failure will do, and need not be made small: for the mutants."""


class Protocol(Canaries):
    @invariant()
    def promises_are_kept(self) -> None:
        for number, process in enumerate(self.slots):
            if process and process.main.done():
                self.world.discard(process)
                self.slots[number] = None
            elif process:
                self.world.check_worker(process)
        assert not self.world.broken, "\n".join(self.world.broken)

    def teardown(self) -> None:
        try:
            if not self.world.broken:
                self.come_to_rest()
        finally:
            for process in self.world.processes:
                process.crash()

    def come_to_rest(self) -> None:
        """The world becomes kind: what can be answered is answered, and what nobody needs any more is gone."""
        world = self.world
        world.broker.is_loading = world.is_store_away = False
        for home, call in self.on_the_way():
            home.remove(call)
            call.take_effect()
        for partition in world.broker.torn():
            self.publish(partition, ["good"])
        for process in self.processes:
            process.is_paused, process.unanswered = False, frozenset()
        self.upgrade_all()
        if world.fold.now.is_paused:
            self.pause_command(is_paused=False)
        self.rest()
        for partition in world.broker.torn():  # the marker of its other producer got lost
            self.publish(partition, ["good"])
            self.rest()
        if world.verifier.unanswered():
            stuck = world.must_be_answered()
            assert not stuck, f"liveness: partitions {stuck} can be answered and are not"
            self.swap(model(1000), PROTOS[0])
            self.rest()
        assert not world.verifier.unanswered(), f"liveness: {world.verifier.unanswered()} are not answered"
        world.check_rest()
        self.promises_are_kept()
        for number in range(WORKERS):
            self.terminate(number)
        self.flow_all(3)
        self.promises_are_kept()
        assert not self.processes, "a worker does not stop"

    def rest(self) -> None:
        """Time passes while nothing bad happens: until all is answered, and then a little more."""
        more = 3
        for turn in range(30):
            for number in range(WORKERS):
                self.start(number, 0)
            self.share()
            self.flow_all(2)
            self.promises_are_kept()
            more -= not self.world.verifier.unanswered()
            if not more:
                return
            if turn > 10 or not self.world.verifier.unanswered():
                self.pass_time(9)


@pytest.mark.parametrize("seed", [pytest.param(SEED, id=f"HOTSWAP_MODEL_SEED={SEED}, {EXAMPLES} examples")])
def test_the_promises_hold_whatever_the_world_does(seed: int) -> None:
    plan = settings(
        max_examples=EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if IS_HUNT else [Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    with recorded("model", seed=seed, length=EXAMPLES, full_length=10_000), everything_faked():
        run_state_machine_as_test(hypothesis.seed(seed)(Protocol), settings=plan)
