"""What whoever may write to the control topic, and has no key or the wrong one, can command once it must be signed.

The signatures are made here from control.proto's words alone, so the format is what any publisher can write.
"""

from base64 import b64encode
from hashlib import sha256

from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from faults.attacks_by_swaps import made_before

_ROLES = {
    "release": ("2000", "2100", ["swap", "rollback"]),
    "pauser": ("2000", "2100", ["pause"]),
    "admin": ("2000", "2100", ["trust"]),
    "ended": ("2000", "2001", ["swap", "rollback", "pause"]),
}


class Keys:
    """Private keys by what they may, one that nobody trusts, and the environment of workers that trust the others."""

    def __init__(self, folder):
        self._keys = {name: Ed25519PrivateKey.generate() for name in (*_ROLES, "stranger")}
        path = folder / "trust.toml"
        path.write_text("".join(map(self._entry, _ROLES)))
        self.environment = {"HOTSWAP_TRUST": str(path)}

    def _public(self, name):
        return self._keys[name].public_key().public_bytes_raw()

    def _entry(self, name):
        begin, end, roles = _ROLES[name]
        return f"""[[key]]
name = "{name}"
public = "{b64encode(self._public(name)).decode()}"
roles = {roles}
deployments = ["*"]
not_before = {begin}-01-01T00:00:00Z
not_after = {end}-01-01T00:00:00Z
"""

    def sign(self, name, value, topic, cluster):
        """Return the headers of a record that this key signs."""
        kind = f"application/vnd.hotswap.command;topic={topic};cluster={cluster}".encode()
        signed = b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(value), value])
        key_id = sha256(self._public(name)).hexdigest()[:16]
        return [("key-id", key_id.encode()), ("signature", self._keys[name].sign(signed))]


@made_before(Keys)
async def commands_without_the_right_key(stage):
    """Commands that are forged, altered, moved, written again, or signed by the wrong key."""
    keys, topic = stage.made, stage.topics.control
    cluster = AdminClient({"bootstrap.servers": stage.deployment.kafka.bootstrap}).list_topics(timeout=10).cluster_id
    required = stage.commands.new("trust")
    await stage.write(required, keys.sign("admin", required.SerializeToString(), topic, cluster))
    is_required = set((await stage.verdicts(required, 10)).values()) == {"APPLIED"}
    stage.sign = lambda value: keys.sign("release", value, topic, cluster)

    def by(name, topic=topic, cluster=cluster, add=b""):
        return lambda value: keys.sign(name, value + add, topic, cluster)

    expected = [
        ("pause", lambda _: [], "SIGNATURE_MISSING"),
        ("rollback", lambda _: [], "SIGNATURE_MISSING"),
        ("trust", lambda _: [], "SIGNATURE_MISSING"),
        ("pause", lambda value: by("pauser")(value)[:1], "SIGNATURE_INVALID"),
        ("pause", lambda value: by("pauser")(value) * 2, "SIGNATURE_INVALID"),
        ("pause", by("pauser", add=b"x"), "SIGNATURE_INVALID"),
        ("pause", by("pauser", topic="hotswap.control"), "SIGNATURE_INVALID"),
        ("pause", by("pauser", cluster="another"), "SIGNATURE_INVALID"),
        ("pause", by("stranger"), "NOT_TRUSTED"),
        ("pause", by("release"), "NOT_TRUSTED"),
        ("rollback", by("pauser"), "NOT_TRUSTED"),
        ("trust", by("release"), "NOT_TRUSTED"),
        ("rollback", by("ended"), "NOT_TRUSTED"),
    ]
    told = []
    for kind, headers, code in expected:
        command = stage.commands.new(kind)
        if kind == "rollback":
            command.rollback.generation, command.rollback.to = 1 << 40, 1
        await stage.write(command, headers(command.SerializeToString()))
        told.append(set((await stage.verdicts(command, 10)).values()) == {f"REFUSED {code}"})
    again = await _again(stage, by("pauser"))
    is_good = await stage.is_good()
    seen = f"{sum(told)} of {len(told)} refused with their codes, a pause written again {again}"
    seen += f", next signed swap {'READY' if is_good else 'not READY'}"
    return seen, is_required and all(told) and again == "APPLIED DUPLICATE" and is_good


async def _again(stage, sign):
    """Pause and resume, then write the same pause again; return what the workers say of it, in order."""
    pause, resume = stage.commands.new("pause"), stage.commands.new("resume")
    for command in (pause, resume, pause):
        await stage.write(command, sign(command.SerializeToString()))
        await stage.verdicts(command, 10)
    last = stage.commands.new("resume")  # its verdict comes after that on the pause
    await stage.write(last, sign(last.SerializeToString()))
    await stage.verdicts(last, 10)
    said = [verdict.outcome for verdict in stage.plane.said["w1"] if verdict.command_id == pause.command_id]
    return " ".join(said)
