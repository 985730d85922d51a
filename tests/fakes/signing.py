"""Keys, a trust file with them, and signed records of a control topic."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hotswap.commands import encode_command
from hotswap.swap.command import Command
from hotswap.trust.file import Key, Trust, parse
from hotswap.trust.keys import Signer
from hotswap.trust.roles import SigningRole

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
DURING_MS = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp() * 1000)
TOPIC, CLUSTER = "d.control", "fake-cluster"


def entry(signer: Signer, name: str = "ci", roles: Sequence[SigningRole] = tuple(SigningRole), **given: Any) -> Key:
    """A key's entry, for the deployment d during 2026 unless `given` otherwise."""
    made = {"name": name, "public": b64encode(signer.public), "roles": roles, "deployments": ["d"]}
    return Key.model_validate(made | {"not_before": BEGIN, "not_after": END}).model_copy(update=given)


def trust_of(*keys: Key) -> Trust:
    return parse("".join(key.document() for key in keys).encode(), "trust.toml")


def trust_file(folder: Path, *keys: Key) -> Path:
    path = folder / "trust.toml"
    path.write_text("".join(key.document() for key in keys), encoding="utf-8")
    return path


def lasting(signer: Signer, roles: Sequence[SigningRole] = tuple(SigningRole), name: str = "ci") -> Key:
    """An entry that is valid now."""
    now = datetime.now(UTC)
    return entry(signer, name, roles, not_before=now - timedelta(hours=1), not_after=now + timedelta(hours=1))


class Log:
    """Records of a control topic, as a reader gives them."""

    def __init__(self) -> None:
        self.offset = -1

    def record(
        self,
        command: Command,
        signer: Signer | None = None,
        *,
        at_ms: int = DURING_MS,
        topic: str = TOPIC,
        cluster: str = CLUSTER,
        deployment: str = "d",
    ) -> Any:
        self.offset += 1
        value = encode_command(deployment, command)
        headers = signer.headers(value, topic=topic, cluster=cluster) if signer else ()
        return SimpleNamespace(offset=self.offset, timestamp=at_ms, value=value, headers=headers)
