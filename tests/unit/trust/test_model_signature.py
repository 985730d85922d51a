"""OpenSSF model signatures, as the package model-signing has made them (golden/model_signatures), and what is wrong."""

import json
import shutil
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fakes.command_line import PROTO, hotswap, one_line
from hotswap.errors import SwapError, UsageError
from hotswap.trust.keys import pre_authentication
from hotswap.trust.model_signature import verify_model

GOLDEN = Path(__file__).parents[2] / "golden" / "model_signatures"
CURVES = ("prime256v1", "secp384r1", "secp521r1")


@pytest.fixture
def made(tmp_path):
    """A copy of what was signed, with its signatures and keys."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "made"))


def key_of(folder, private):
    path = folder / "public.pem"
    path.write_bytes(private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return path


def changed(path, change):
    """Change a signature's bundle in its file."""
    bundle = json.loads(path.read_text())
    change(bundle)
    path.write_text(json.dumps(bundle))
    return path


def statement(bundle):
    return json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))


def signed_by(private, bundle, document):
    """Let a bundle have another statement, signed by an Ed25519 key."""
    payload = json.dumps(document).encode()
    sig = private.sign(pre_authentication(b"application/vnd.in-toto+json", payload))
    bundle["dsseEnvelope"] |= {"payload": b64encode(payload).decode(), "signatures": [{"sig": b64encode(sig).decode()}]}
    bundle["verificationMaterial"]["publicKey"] = {}


def refused(model, signature, key):
    with pytest.raises(SwapError) as error:
        verify_model(model, signature, key)
    assert error.value.code == "SIGNATURE_INVALID"
    return error.value.message


def unusable(model, signature, key):
    with pytest.raises(UsageError) as error:
        verify_model(model, signature, key)
    return str(error.value)


@pytest.mark.parametrize("curve", CURVES)
def test_a_file_that_model_signing_has_signed_is_verified_on_each_of_its_curves(made, curve):
    verify_model(made / "model.zip", made / f"{curve}.sig", made / f"{curve}.pem")


def test_a_folder_is_verified_and_what_differs_is_named(made):
    folder = [made / "model", made / "folder.sig", made / "secp384r1.pem"]
    verify_model(*folder)
    (made / "model" / "model.ini").write_text("altered")
    (made / "model" / "more").write_text("more")
    (made / "model" / "stages" / "0_scaler" / "part-00000").unlink()
    told = "model.ini has other bytes, more is not signed, stages/0_scaler/part-00000 is missing"
    assert refused(*folder) == f"{folder[0]} is not what {folder[1]} says: {told}"
    for number in range(9):
        (made / "model" / f"n{number}").write_text("")
    assert refused(*folder).endswith("n2 is not signed, and 7 more files")


def test_another_file_is_refused_by_its_name(made):
    (made / "model.zip").write_bytes(b"another file")
    assert refused(made / "model.zip", made / "prime256v1.sig", made / "prime256v1.pem").endswith(
        "model.zip has other bytes"
    )


def test_a_signature_by_another_key_is_refused_with_both_keys(made):
    told = refused(made / "model.zip", made / "prime256v1.sig", made / "secp384r1.pem")
    assert "prime256v1.sig was made by key " in told
    assert f", and {made / 'secp384r1.pem'} is " in told

    def unhinted(bundle):
        bundle["verificationMaterial"]["publicKey"] = {}

    signature = changed(made / "prime256v1.sig", unhinted)
    verify_model(made / "model.zip", signature, made / "prime256v1.pem")
    assert "it was altered, or made by another key" in refused(made / "model.zip", signature, made / "secp384r1.pem")


def test_an_altered_statement_is_refused(made):
    (made / "model.zip").write_bytes(b"another file")

    def forge(bundle):
        document = statement(bundle)
        document["predicate"]["resources"][0]["digest"] = "a" * 64
        bundle["dsseEnvelope"]["payload"] = b64encode(json.dumps(document).encode()).decode()

    signature = changed(made / "prime256v1.sig", forge)
    assert "it was altered" in refused(made / "model.zip", signature, made / "prime256v1.pem")


def test_an_ed25519_key_verifies_the_same_form(made):
    private = Ed25519PrivateKey.generate()
    signature = changed(made / "prime256v1.sig", lambda bundle: signed_by(private, bundle, statement(bundle)))
    verify_model(made / "model.zip", signature, key_of(made, private))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda document: document["predicate"]["serialization"].update(method="shards"), "method: input should be"),
        (lambda document: document["predicate"]["resources"][0].update(algorithm="blake3"), "resources.0.algorithm"),
        (lambda document: document.update(predicateType="https://model_signing/Digests/v0.1"), "predicateType"),
        (lambda document: document["predicate"].update(resources=[]), "resources: list should have at least 1"),
    ],
)
def test_a_signature_of_a_form_that_is_not_read_says_which_and_how_to_sign(made, change, told):
    private = Ed25519PrivateKey.generate()

    def sign(bundle):
        document = statement(bundle)
        change(document)
        signed_by(private, bundle, document)

    line = unusable(made / "model.zip", changed(made / "prime256v1.sig", sign), key_of(made, private))
    assert told in line
    assert line.endswith("sign whole files by SHA-256 and with a key: `model_signing sign key`")


def test_what_is_no_bundle_or_was_signed_by_an_identity_is_an_error_of_the_file(made):
    key = made / "prime256v1.pem"
    (made / "no.sig").write_text("{}")
    assert "no.sig is no model signature that a key can verify (mediaType: field required)" in unusable(
        made / "model.zip", made / "no.sig", key
    )

    def by_identity(bundle):
        bundle["verificationMaterial"] = {"certificate": {"rawBytes": ""}}

    signature = changed(made / "prime256v1.sig", by_identity)
    assert "(verificationMaterial.publicKey: field required)" in unusable(made / "model.zip", signature, key)
    signature = changed(made / "secp384r1.sig", lambda bundle: bundle["dsseEnvelope"].update(payload="*"))
    assert "(dsseEnvelope.payload: " in unusable(made / "model.zip", signature, made / "secp384r1.pem")


def test_files_that_cannot_be_used_are_named(made):
    model, signature, key = made / "model.zip", made / "prime256v1.sig", made / "prime256v1.pem"
    assert unusable(made / "none", signature, key).endswith("none does not exist")
    assert unusable(model, made / "none.sig", key).endswith("none.sig cannot be read: No such file or directory")
    assert unusable(model, signature, model).startswith(f"{model} is no public key in PEM")
    other = key_of(made, rsa.generate_private_key(65_537, 2_048))
    assert "is a key of another kind: take one on the curve P-256" in unusable(model, signature, other)


def test_a_swap_is_verified_before_anything_is_uploaded(made, cluster, settings, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setenv("HOTSWAP_STORE", (made / "store").as_uri())
    (made / "p.proto").write_text(PROTO)
    shutil.copy("prime256v1.sig", "model.zip.sig")
    swap = ["swap", "d", "--model", "model.zip", "--kind", "h2o", "--proto", "p.proto", "--no-wait", "--verify-with"]
    told = hotswap(*swap, "prime256v1.pem")
    assert (told.stdout, told.stderr) == (
        "generation 1 accepted\n",
        "hotswap: the signature of model.zip is valid\n",
    )
    (made / "model.zip").write_bytes(b"another file")
    stored = sorted((made / "store").rglob("*"))
    line = one_line(hotswap(*swap, "secp384r1.pem", "--signature", "secp384r1.sig", code=1))
    assert line == "hotswap: SIGNATURE_INVALID: model.zip is not what secp384r1.sig says: model.zip has other bytes"
    assert sorted((made / "store").rglob("*")) == stored
    assert len(cluster.topics[settings.topics.control][0]) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "s3://models/m.zip", "--model-sha256", "a", "--verify-with", "k"], "needs exactly one upload"),
        (["--proto", "p.proto", "--verify-with", "k"], "needs exactly one upload"),
        (["--model", "m.zip", "--package", "p.zip", "--verify-with", "k"], "needs exactly one upload"),
        (["--model", "m.zip", "--signature", "s"], "--signature needs --verify-with"),
    ],
)
def test_what_is_to_be_verified_is_one_file_or_folder(words, told):
    assert told in one_line(hotswap("swap", "d", *words, code=2))


def test_a_file_that_cannot_be_read_is_named(made, monkeypatch):
    def failing(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("hashlib.file_digest", failing)
    model = made / "model.zip"
    assert unusable(model, made / "prime256v1.sig", made / "prime256v1.pem") == (
        f"{model} cannot be read: Input/output error"
    )
