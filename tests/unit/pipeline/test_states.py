"""The states of a partition's loop."""

import pytest

from hotswap.pipeline.states import PartitionState, Step


def test_a_loop_takes_no_step_that_is_not_drawn():
    state = PartitionState()
    for step in (Step.WAITING, Step.QUEUED, Step.SCORING, Step.COMMITTING, Step.SCORING, Step.OVERTAKEN):
        state.move(step)
    for step in set(Step) - {Step.HELD, Step.CLOSED}:
        with pytest.raises(AssertionError, match=f"overtaken -> {step} is not a legal transition"):
            state.move(step)


def test_what_is_said_of_a_batch_ends_with_it():
    state = PartitionState(step=Step.WAITING)
    state.move(Step.SCORING, in_hand=4, held="waits for the model")
    state.model_s = 12.0
    state.move(Step.COMMITTING, in_hand=4)
    assert (state.in_hand, state.held, state.model_s) == (4, "", 0.0)
    state.move(Step.CLOSED, held="being opened")
    assert (state.in_hand, state.held) == (None, "being opened")
