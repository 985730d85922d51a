"""A worker's membership in the deployment's group: its identity, and the coordinator's answers."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import NoError, RebalanceInProgressError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest

from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.error_codes import FENCED_INSTANCE_ID
from hotswap.kafka.client.internals import Cutter, consumer_of, member_id, membership_number
from hotswap.kafka.group.assignor import KeepingAssignor
from hotswap.kafka.transactions.producer import Member
from hotswap.settings import Settings

log = logging.getLogger(__name__)

AWAY_S: Final = 1.0
"""A broker that restarts is away for longer than this, and a connection that is only renewed is not."""
WAIT_MS: Final = 100
"""How long a broker waits for requests before it answers a fetch with nothing."""
IDLE_WAIT_MS: Final = 500
"""The same while all partitions are fetched, and none waits for the fetch in hand: each answer names all of them."""
_HEARTBEAT_MS: Final = 100
_REJOIN_MS: Final = 20_000
_KNOWN: Final = (NoError.errno, RebalanceInProgressError.errno)


class MemberClient(KafkaClient):
    """The client of a group member, which watches the coordinator's answers."""

    def __init__(self, on_back: Callable[[], None], **more: Any) -> None:
        """`on_back` is called when the coordinator was away for AWAY_S and still knows the member.

        A lone Kafka 4.3.1 may have forgotten the sessions of dead members in a crash. It then keeps their partitions
        for them until the group shares out anew, for which nothing else may ever give it cause.
        """
        super().__init__(**more)
        self.is_displaced = False
        """Whether another member has joined with its `group_instance_id`."""
        self._on_back = on_back
        self._lost_at: float | None = None  # since when heartbeats of this membership have had no answer

    async def send(self, node_id: Any, request: Any, **more: Any) -> Any:
        """Send a request, and update the membership from its answer."""
        began, code = time.monotonic(), None
        try:
            answer = await super().send(node_id, request, **more)
            code = getattr(answer, "error_code", None)
        finally:
            if isinstance(request, HeartbeatRequest):
                self._beat(began, is_known=code in _KNOWN)
        self.is_displaced |= code == FENCED_INSTANCE_ID
        if isinstance(request, JoinGroupRequest):
            self._lost_at = None
        return answer

    def _beat(self, began: float, *, is_known: bool) -> None:
        lost_at, self._lost_at = self._lost_at, None
        if not is_known:
            self._lost_at = began if lost_at is None else lost_at
        elif lost_at is not None and (away := time.monotonic() - lost_at) >= AWAY_S:
            log.info("membership.rejoining", extra={"why": f"its coordinator was away for {away:.1f} s"})
            self._on_back()


def consumer_in_group(
    settings: Settings, client: MemberClient, assignor: KeepingAssignor, cut: Cutter
) -> AIOKafkaConsumer:
    """Return the consumer of the deployment's requests, not started; `cut` makes it yield record batches."""
    keeps = settings.delivery == "exactly_once"
    rejoins_in_ms = 0 if keeps else settings.max_deadline_ms + int(2_000 * settings.call_timeout_s)
    return consumer_of(
        client,
        value_deserializer=cut,
        group_id=settings.group_id,
        group_instance_id=settings.group_instance_id,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        partition_assignment_strategy=(assignor,),
        session_timeout_ms=settings.session_timeout_ms,
        # By its next heartbeat a member knows that another one gave partitions up: until then, nobody has these.
        heartbeat_interval_ms=min(_HEARTBEAT_MS, settings.session_timeout_ms // 6),
        # How long the group waits for a member that does not rejoin: a slow one, and a dead one whose session the
        # broker forgot in a crash. aiokafka only sends it with JoinGroup; polls and heartbeats do not use it.
        rebalance_timeout_ms=rejoins_in_ms + settings.session_timeout_ms + _REJOIN_MS,
        fetch_max_wait_ms=WAIT_MS,
    )


class OwnGroup:
    """The deployment's group, and the member of it that a consumer is: transactions/producer.py's Group."""

    def __init__(self, consumer: AIOKafkaConsumer, assignor: KeepingAssignor, settings: Settings) -> None:
        self.name = settings.group_id
        self._consumer = consumer
        self._assignor = assignor
        assignor.knows_both_ids = settings.transactional_ids > 1
        self._instance = settings.group_instance_id

    @property
    def knows_both_ids(self) -> bool:
        """Whether each member knows both transactional ids of a partition."""
        return self._assignor.all_know_both_ids

    @property
    def member(self) -> Member | None:
        """The consumer's current membership; None: it is not a member."""
        number, name = membership_number(self._consumer), member_id(self._consumer)
        return Member(number, name, self._instance) if number >= 0 and name else None
