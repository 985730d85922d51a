"""How a worker takes part in its group, and commits."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class GroupSettings(BaseSettings):
    """A worker's delivery guarantee and its time-outs in the group."""

    model_config = SettingsConfigDict(defer_build=True)

    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="`exactly_once`: the answers of a batch and its offset are committed in one transaction, so "
        "read_committed consumers see each request answered once. `at_least_once`: no transactions; after a crash or a "
        "rebalance, requests may be answered again, perhaps by a newer generation.",
    )
    transactional_ids: Literal[1, 2] = Field(
        2,
        description="Under how many transactional ids a partition's answers are committed, in turns. While a worker of "
        "the group has 1, or is of version 0.2, which knows one only, all use one. Set it to 1 on all workers, one "
        "after the other, before the first of them goes back to 0.2 (docs/upgrades.md).",
    )
    session_timeout_ms: int = Field(
        6_000, ge=1_000, description="Session timeout: how soon another worker takes over a dead worker's partitions."
    )
    group_instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Static membership: this worker's own name in the group, kept across restarts. If it is back "
        "within `session_timeout_ms` (raise that to the time a restart takes), it gets its partitions back without a "
        "rebalance, unless another one is under way. The price: until then no other worker takes them over, not even "
        "after a clean stop (unless `leave_group_on_stop`), so removing a worker for good leaves its partitions "
        "unserved until its session ends. Of two workers with the same name, the older one is fenced and exits.",
    )
    leave_group_on_stop: bool = Field(
        False,
        description="Whether a worker with a `group_instance_id` leaves the group at a clean stop, as one without "
        "does: the others take its partitions over at once, and its name outlasts a crash only. For platforms that "
        "stop workers to have fewer of them (docs/kubernetes.md).",
    )
