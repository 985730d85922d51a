"""The client over logs in memory: it signs its commands, and decides on those of others as the workers do."""

import pytest

from fakes.client import MODEL, commands, first_swap
from fakes.kafka_logs import FakeWorker
from fakes.signing import lasting, trust_file
from hotswap.client.client import Change, Client
from hotswap.client.doctor import _signatures
from hotswap.client.findings import Level
from hotswap.client.overview import overview, read_history
from hotswap.client.seen import Seen
from hotswap.client.serving import follow_serving
from hotswap.commands import encode_command
from hotswap.errors import StartError, SwapError, UsageError
from hotswap.kafka.topics.control_topic import SHARED
from hotswap.swap.command import PauseCommand, SwapCommand, TrustCommand
from hotswap.trust.file import SigningRole, Trust
from hotswap.trust.keys import Signer

CI, ADMIN = Signer.new(), Signer.new()


@pytest.fixture
def as_(settings, tmp_path):
    """The settings of somebody who trusts both keys, and signs with the one given."""
    trust = trust_file(
        tmp_path,
        lasting(CI, [role for role in SigningRole if role is not SigningRole.TRUST]),
        lasting(ADMIN, [SigningRole.TRUST], "admin"),
    )

    def settings_of(signer=None):
        path = tmp_path / f"{signer.id}.pem" if signer else None
        if path and not path.exists():
            signer.write(path)
        return settings.model_copy(update={"trust": trust, "sign_with": path})

    return settings_of


async def test_signed_commands_are_accepted_and_others_refused_once_that_is_required(cluster, settings, as_):
    async with Client(settings) as unsigned, Client(as_(CI)) as client, Client(as_(ADMIN)) as admin:
        assert (await first_swap(unsigned)).generation == 1
        await admin.trust()
        assert (await client.swap(Change(model=MODEL))).generation == 2
        assert (await client.rollback(1)).generation == 3
        await client.pause()
        await client.resume()
        await client.skip(0, 0)
        with pytest.raises(SwapError, match="lacks the role swap: it has trust") as refused:
            await admin.swap(Change(model=MODEL))
        assert refused.value.code == "NOT_TRUSTED"
        with pytest.raises(SwapError, match=r"as all are since offset 1 of d\.control") as refused:
            async with Client(as_()) as forgetful:
                await forgetful.swap(Change(model=MODEL))
        assert refused.value.code == "SIGNATURE_MISSING"
    kinds = [type(command).__name__ for command in commands(cluster, settings)]
    assert kinds[:3] == ["SwapCommand", "TrustCommand", "SwapCommand"]


async def test_every_reader_leaves_out_what_the_workers_refuse(cluster, settings, as_):
    worker = FakeWorker(cluster, settings, outcomes=())
    worker.speak(trust_sha256=Trust.read(as_().trust).sha256)
    async with Client(as_(CI)) as client, Client(as_(ADMIN)) as admin:
        await first_swap(client)
        await admin.trust()
        forged = SwapCommand(command_id="forged", generation=9, model=MODEL)
        cluster.append(settings.topics.control, encode_command("d", forged))
        worker.speak(generation=1, trust_sha256=Trust.read(as_().trust).sha256)
        seen = await overview(as_())
        assert [view.entry.verdict.code for view in seen.commands] == ["", "", "SIGNATURE_MISSING"]
        assert (seen.newest, seen.signed_since, seen.unverified) == (1, 1, "")
        followed = Seen.nothing(as_())
        served = await anext(follow_serving(as_(), followed))
        assert served.generation.number == followed.history.timeline.newest == 1
        assert (await client.swap(Change(model=MODEL))).generation == 2


async def test_a_reader_without_the_trust_file_says_that_it_cannot_verify(cluster, settings, as_):
    async with Client(as_(ADMIN)) as admin:
        await admin.trust(revoked=[CI.id])
    seen = await overview(settings)
    (warning,) = seen.warnings
    assert warning.startswith("this reader: offset 0 of d.control says that commands must be signed")
    assert [view.title for view in seen.commands] == [f"trust: commands are signed, {CI.id} is revoked"]
    async with Client(settings) as client:
        await client.pause()  # as before: off by default


async def test_a_revoked_key_signs_no_more(cluster, as_):
    async with Client(as_(CI)) as client, Client(as_(ADMIN)) as admin:
        await admin.trust()
        await client.pause()
        await admin.trust(revoked=[CI.id])
        with pytest.raises(SwapError, match=f"key {CI.id} .ci. was revoked at offset 2"):
            await client.resume()


async def test_what_cannot_be_taken_back_is_checked_before_it_is_written(cluster, settings, as_, tmp_path):
    stranger = settings.model_copy(update={"sign_with": tmp_path / "stranger.pem", "trust": as_().trust})
    (signer := Signer.new()).write(stranger.sign_with)
    for given, said in ((settings, "needs a trust file"), (as_(), "to sign with"), (stranger, f"no key {signer.id}")):
        async with Client(given) as client:
            with pytest.raises(UsageError, match=said):
                await client.trust()
    async with Client(as_(ADMIN)) as admin:
        with pytest.raises(UsageError, match="the trust file has no key 0123: it has"):
            await admin.trust(revoked=["0123"])
        cluster.timestamps = "CreateTime"
        with pytest.raises(
            StartError, match="has its publishers' timestamps, so a key that has ended could still sign"
        ):
            await admin.trust()
    assert commands(cluster, settings) == []


async def test_signatures_are_not_required_while_a_live_worker_lacks_the_trust_file_but_a_key_can_be_revoked(
    cluster, settings, as_
):
    mine = Trust.read(as_().trust).sha256
    workers = [FakeWorker(cluster, settings, name) for name in ("w1", "w2", "w3", "w4")]
    for worker, digest in zip(workers, (mine, "", "a" * 64, ""), strict=True):
        worker.speak(trust_sha256=digest)
    workers[3].speak(stopped=True)
    async with Client(as_(ADMIN)) as admin:
        with pytest.raises(UsageError, match="w2, w3: no trust file, or another one than"):
            await admin.trust()
        assert commands(cluster, settings) == []
        await admin.trust(revoked=[CI.id])
    (told,) = (one for one in (await overview(as_())).findings if one.about == "signatures")
    assert (told.level, told.what) == (
        Level.FAULT,
        "commands must be signed since offset 0 of d.control, but w2 cannot verify them",
    )


async def test_a_key_that_cannot_be_read_is_told_before_anything_is_written(cluster, settings, tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Client(settings.model_copy(update={"sign_with": tmp_path / "none.pem"}))


async def test_workers_with_different_trust_files_are_warned_of(cluster, settings):
    for name, digest in (("w1", "a" * 64), ("w2", "a" * 64)):
        FakeWorker(cluster, settings, name).speak(trust_sha256=digest)
    assert (await overview(settings)).warnings == ()
    FakeWorker(cluster, settings, "w3").speak()
    assert (await overview(settings)).warnings == (
        f"workers: they have different trust files, and may decide differently on commands: {'a' * 12}, none",
    )


async def test_the_doctor_says_whether_commands_must_be_signed(cluster, settings, as_):
    (told,) = _signatures(await overview(settings))
    assert (told.level, told.what) == (
        Level.ADVICE,
        "commands need none: each user with Write on d.control commands this deployment",
    )
    async with Client(as_(ADMIN)) as admin:
        await admin.trust()
    (told,) = _signatures(await overview(as_()))
    assert (told.level, told.what) == (Level.OK, "commands must be signed since offset 0 of d.control")


async def test_a_signed_command_of_another_deployment_of_the_topic_is_not_ours(cluster, settings, as_):
    async with Client(as_(ADMIN)) as admin:
        await admin.trust()
    cluster.append(settings.topics.control, encode_command("e", TrustCommand(command_id="t")))
    cluster.append(settings.topics.control, encode_command("e", PauseCommand(command_id="p", is_paused=True)))
    assert len((await overview(as_())).commands) == 1


async def test_signatures_in_the_shared_topic_are_verified_as_of_that_topic(cluster, settings, as_):
    del cluster.topics["d.control"]
    cluster.topics[SHARED] = [[]]
    cluster.append(SHARED, encode_command("d", PauseCommand(command_id="p", is_paused=True)))
    async with Client(as_(ADMIN)) as admin:
        await admin.trust()
    for reader in (as_(), as_(CI)):
        assert (await read_history(reader)).fold.guard.since == 1
