"""What a broker's answer to a request of a transaction means."""

import pytest
from aiokafka.errors import (
    CorrelationIdError,
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    NodeNotReadyError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from hotswap.kafka.transactions.verdicts import Call, Reaction, unanswered, unsent, verdict

LOADING, CONCURRENT, MOVED, NOT_LEADER, UNKNOWN_TOPIC = 14, 51, 16, 6, 3
TIMED_OUT, FEW_REPLICAS, DUPLICATE, OLDER_MEMBER, UNKNOWN_MEMBER = 7, 19, 46, 22, 25
OUT_OF_ORDER, OLD_EPOCH, BAD_STATE, FENCED, ABORTABLE, FORBIDDEN = 45, 47, 48, 90, 120, 53

AGAIN, ELSEWHERE = Reaction.AGAIN, Reaction.ELSEWHERE
MEANT = {
    Call.INIT: {LOADING: AGAIN, CONCURRENT: AGAIN, MOVED: ELSEWHERE},
    Call.ADD: {LOADING: AGAIN, CONCURRENT: AGAIN, MOVED: ELSEWHERE, UNKNOWN_TOPIC: AGAIN},
    Call.PRODUCE: {
        LOADING: AGAIN,
        CONCURRENT: AGAIN,
        MOVED: AGAIN,
        TIMED_OUT: AGAIN,
        FEW_REPLICAS: AGAIN,
        NOT_LEADER: ELSEWHERE,
        UNKNOWN_TOPIC: ELSEWHERE,
        DUPLICATE: Reaction.DONE,
    },
    Call.OFFSET: {
        LOADING: AGAIN,
        CONCURRENT: AGAIN,
        MOVED: ELSEWHERE,
        UNKNOWN_TOPIC: AGAIN,
        TIMED_OUT: AGAIN,
        OLDER_MEMBER: Reaction.REJOINED,
    },
    Call.END: {LOADING: AGAIN, CONCURRENT: AGAIN, MOVED: ELSEWHERE},
}
CODES = (LOADING, CONCURRENT, MOVED, NOT_LEADER, UNKNOWN_TOPIC, TIMED_OUT, FEW_REPLICAS, DUPLICATE, OLDER_MEMBER)
CODES += (UNKNOWN_MEMBER, OUT_OF_ORDER, OLD_EPOCH, BAD_STATE, FENCED, ABORTABLE, FORBIDDEN)


@pytest.mark.parametrize("call", Call)
def test_what_has_changed_nothing_is_asked_again_and_all_else_fails_the_transaction(call):
    assert verdict(call, 0) is Reaction.DONE
    assert {code: verdict(call, code) for code in CODES} == dict.fromkeys(CODES, Reaction.FAILED) | MEANT[call]


@pytest.mark.parametrize("error", [KafkaConnectionError, CorrelationIdError, RequestTimedOutError])
def test_what_ends_a_transaction_is_never_sent_twice_and_all_else_is(error):
    failed = {call for call in Call if unanswered(call, error()) is Reaction.FAILED}
    assert failed == {Call.OFFSET, Call.END}


@pytest.mark.parametrize("call", Call)
def test_what_was_not_sent_is_sent_to_whom_it_may_concern_unless_no_broker_would_understand_it(call):
    assert unanswered(call, NodeNotReadyError()) is Reaction.ELSEWHERE
    assert unanswered(call, IncompatibleBrokerVersion()) is Reaction.FAILED


def test_where_nobody_can_be_found_to_send_it_to_it_waits_for_somebody_unless_that_is_denied():
    for error in (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError):
        assert unsent(error()) is Reaction.ELSEWHERE
    for denied in (TopicAuthorizationFailedError, GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed):
        assert unsent(denied()) is Reaction.FAILED
