"""What two versions tell each other is read and written as when it was first written: each format, byte for byte.

tests/golden/make_formats.py has the formats, and says what to do where one has to change (docs/upgrades.md: what may).
"""

import json

import pytest
from aiokafka.coordinator.assignors.abstract import ConsumerProtocolMemberMetadata

from golden.make_formats import FOLDER, FORMATS, path_of, planted, written
from golden.values import CLUSTER, CONFIGURATION, DIGEST, FILES, KEY, PROTO, SETTINGS, SWAP, TOPIC, parsed
from hotswap.artifacts.store import Store
from hotswap.client.answers import Prediction, Refused, prediction_of, refused
from hotswap.client.fleet import Fleet, PartitionView, Told, is_forgotten
from hotswap.codec.proto import compile as compile_proto
from hotswap.commands import command_for
from hotswap.generation import Model, Proto
from hotswap.kafka.group.assignor import Claim, _claimed
from hotswap.kafka.partition.witness import LastAnswer, answer_of
from hotswap.kafka.topics.committed import Committed, as_committed
from hotswap.packages.package import open_package
from hotswap.settings import Settings
from hotswap.swap.command import Outcome, PauseCommand, RollbackCommand, SkipCommand, SwapCommand, TrustCommand
from hotswap.trust.file import SigningRole, parse
from hotswap.trust.keys import Signer, is_signed, signed_bytes
from hotswap.v1 import control_pb2 as wire


def forms(name):
    """Every form that a format had, the oldest first: what its files have."""
    return [path_of(name, number).read_bytes() for number in range(1, FORMATS[name][0] + 1)]


def each(name):
    return pytest.mark.parametrize("content", forms(name), ids=[f"{name}.{at + 1}" for at in range(FORMATS[name][0])])


def test_every_golden_file_is_a_form_of_a_format():
    known = {path_of(name, number) for name, (newest, *_) in FORMATS.items() for number in range(1, newest + 1)}
    assert {*FOLDER.iterdir()} == known


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_the_newest_form_byte_for_byte(name):
    assert written(name) == path_of(name).read_bytes()


# ---- and each form is read


@each("commands")
def test_commands_are_read(content):
    model = Model("s3://models/b.jar", DIGEST, "java", "b")
    found = [(record.key, command_for("d", record.value)) for record in parsed(content)]
    assert found == [
        (b"d/1", command(SWAP)),
        (b"d/2", command(SwapCommand(command_id="c2", generation=2, base=1, model=model))),
        (b"d/3", command(RollbackCommand(command_id="c3", generation=3, to=1))),
        (b"d/0", command(PauseCommand(command_id="c4", is_paused=True))),
        (b"d/0", command(PauseCommand(command_id="c5", is_paused=False))),
        (b"d/0", command(SkipCommand(command_id="c6", partition=3, offset=70))),
        (b"d/0", command(TrustCommand(command_id="c7", revoked=("ab" * 8,)))),
    ]
    assert [wire.Command.FromString(record.value).least_version for record in parsed(content)] == [0] * 7
    *unsigned, signed = parsed(content)
    assert not any(record.headers for record in unsigned)
    (_, named), (_, signature) = signed.headers
    assert named.decode() == KEY.id
    assert is_signed(KEY.public, signature, signed_bytes(signed.value, topic=TOPIC, cluster=CLUSTER))


def command(one):
    """The same as a client writes it: marked with its rules."""
    return type(one)(**{name: getattr(one, name) for name in one.__slots__} | {"rules": 1})


@each("statuses")
def test_statuses_are_read(content):
    fleet, found = Fleet("d"), parsed(content)
    read = [fleet.receive(record.value) for record in found]
    told = [one for one in read if isinstance(one, Told)]
    assert [(one.command_id, one.generation, one.worker, one.outcome) for one in told] == [
        ("c1", 1, "w1", outcome)
        for outcome in (Outcome.STAGING, Outcome.READY, Outcome.SERVING, Outcome.RETIRED, Outcome.FAILED)
    ]
    assert (told[1].phase_seconds, told[1].reads) == ({"load": 0.5}, {"score": {"x": frozenset({"1", "2"})}})
    assert told[2].fields in ({}, {"score": {"x y": "x"}})  # since the second form
    since_the_fifth = [(one.runtime, one.cpu) for one in told]
    assert since_the_fifth in ([("", "")] * 5, [("", ""), *[("x 1, Java 21", "a CPU")] * 3, ("", "")])
    assert (told[-1].code, told[-1].message) == ("SCHEMA_MISMATCH", "column X is missing")
    view = read[5]
    assert (view.worker, view.at, view.generation, view.accepted, view.loaded) == ("w1", 1_790_000_000, 1, 1, (1,))
    (part,) = view.partitions
    assert part == PartitionView(3, 70, 1, 10, "waits", True, (60, 65), 1.5, part.oldest_ms)
    since_the_third = part.oldest_ms, view.incarnation
    assert since_the_third in ((0, ""), (1_789_999_995_000, "a1b2c3d4"))
    assert view.machine.get("transactions") in (None, "version 2")  # since the fourth
    kinds = {"h2o": "", "onnx": "onnxruntime is not installed here"}
    since_the_fifth = view.kinds, view.runtime, view.machine.get("cpu")
    assert since_the_fifth in (({}, "", None), (kinds, "x 1, Java 21", "a CPU"))
    assert (view.model_name, view.model_sha256, view.proto_sha256) == ("churn", DIGEST, Proto.inline(PROTO).sha256)
    assert (view.held, view.host_restarts, view.paths) == ("why it answers nothing", 2, {"score": "in the JVM"})
    assert view.warnings[1:] == ("what a model may reach",)
    assert read[6].is_stopped
    cut_over = wire.Status.FromString(found[7].value).cut_over
    assert (cut_over.generation, cut_over.partition, cut_over.first_offset, cut_over.worker) == (7, 3, 70, "w1")
    assert is_forgotten(found[8].value)
    assert [record.key for record in found] == [*[b"d/1/w1/c1"] * 5, *[b"d/w1"] * 2, b"d/7/cut-over/3", b"d/forgotten"]


@each("offsets")
def test_committed_offsets_are_read(content):
    read = as_committed(71, content.decode())
    forms = [Committed(71, 7, is_ours=True)]
    for producers in ({1_001}, {1_001, 1_002}):  # since form 2, and 3
        forms.append(forms[0]._replace(producer=1_001, producers=frozenset(producers)))
    assert read in forms


@each("answers")
def test_answers_are_read(content):
    plain, traced, *letters = parsed(content)
    for record, offset in ((plain, 70), (traced, 71)):
        assert prediction_of(record) == Prediction(f"d.requests-3-{offset}", b"answer", 7, "score", DIGEST)
    assert dict(traced.headers)["trace"] == b"1"
    assert [refused(record) for record in letters] == [
        Refused("d.requests-3-71", "UNDECODABLE", "is no message", 7),
        Refused(
            "d.requests-3-72", "TOO_LARGE", "has 1000 bytes (value not kept: a dead letter has at most 400 bytes)", 7
        ),
        Refused("d.requests-3-73", "UNREADABLE", "odd", 7),
    ]
    assert [record.value for record in letters] == [b"v", None, None]
    assert {"value-size", "value-sha256"} <= {name for name, _ in letters[1].headers}
    offsets = [answer_of(record, b"d.requests-3-") for record in parsed(content)]
    assert offsets == [LastAnswer(offset, 7) for offset in (70, 71, 71, 72, 73)]


@each("claim")
def test_a_members_claim_is_read(content):
    told = ConsumerProtocolMemberMetadata.decode(content)
    assert told.subscription == ["d.requests"]
    assert _claimed(told, "d.requests") == Claim(5, frozenset({1, 3}))


@each("package")
def test_packages_are_read(content, tmp_path):
    (path := tmp_path / "modeldump.zip").write_bytes(content)
    with open_package(path) as package:
        assert (package.name, package.version, package.kind) == ("churn", "1.4.2", "spark")
        assert (package.configuration, package.proto) == (CONFIGURATION, Proto.inline(PROTO))
        message = compile_proto(PROTO.encode()).operations["score"].input
        assert [message.FromString(sample).x for sample in package.samples] == [1.0, 2.5]
        assert package.model.name == "churn.zip"


@each("trust")
def test_trust_files_are_read(content):
    (key,) = parse(content, "trust.toml").keys.values()
    assert (key.id, key.public, key.name) == (KEY.id, KEY.public, "ci")
    assert key.roles == frozenset(SigningRole) - ({SigningRole.PROMOTE} if b'"promote"' not in content else set())
    assert (key.deployments, key.not_before.year, key.not_after.year) == ({"*", "d"}, 2026, 2027)


@each("private-key")
def test_private_keys_are_read(content, tmp_path):
    (tmp_path / "key.pem").write_bytes(content)
    assert Signer.read(tmp_path / "key.pem").public == KEY.public


@each("store")
async def test_what_an_older_client_uploaded_is_fetched(content, tmp_path):
    planted(content, tmp_path / "store")
    place = next(name for name in json.loads(content) if name.endswith("/pipeline.zip"))
    settings = Settings(store=(tmp_path / "store").as_uri(), cache=tmp_path / "cache")
    made = Store(settings)
    folder = await made.fetch(Model(f"{settings.store_url}/{place}", place.partition("/")[0], "spark"))
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES


@each("cache")
async def test_what_an_older_worker_has_cached_is_served_without_its_store(content, tmp_path):
    settings = Settings(store=(tmp_path / "gone").as_uri(), cache=tmp_path / "cache")
    planted(content, settings.artifacts)
    digest = next(iter(json.loads(content))).partition(".")[0]
    made = Store(settings)
    for kind in ("spark", "java"):
        model = Model(f"{settings.store_url}/{digest}/pipeline.zip", digest, kind)
        assert (await made.fetch(model)).exists()
        await made.verify(model)


@each("settings")
def test_no_setting_is_gone(content):
    assert {*content.decode().split()} <= {*Settings.model_fields}


def test_topics_groups_and_transactional_ids_are_the_same_in_every_form():
    """But for the control topic of a deployment without commands: decision 46 says how all its members find one."""
    first, *later = map(json.loads, forms("names"))
    for form in later:
        same = {name: form[name] for name in first}
        assert same == first, "workers of two versions would not meet, nor fence each other"
    assert SETTINGS.group_id == first["group"]
