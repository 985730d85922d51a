"""Verifies an OpenSSF model signature (https://github.com/ossf/model-signing-spec) of a model's files by a public key.

It is a Sigstore bundle of version 0.3: a DSSE envelope around an in-toto statement, which has the digest of each file.
The package `model-signing` writes it. This reads it without that, by `cryptography` alone (decision 47).
"""

import hashlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from hotswap.artifacts.detect import check_model, files_of
from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.trust.keys import check_installed, pre_authentication

_PAYLOAD: Final = "application/vnd.in-toto+json"
_MOST_FILES = 5
_HOW = "sign whole files by SHA-256 and with a key: `model_signing sign key`"

Decoded = Annotated[bytes, BeforeValidator(lambda value: b64decode(value, validate=True))]


class _PublicKey(BaseModel):
    hint: str | None = None


class _Material(BaseModel):
    public_key: Annotated[_PublicKey, Field(alias="publicKey")]


class _Signature(BaseModel):
    sig: Decoded


class _Envelope(BaseModel):
    payload: Decoded
    kind: Annotated[Literal["application/vnd.in-toto+json"], Field(alias="payloadType")]
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=1)]


class _Bundle(BaseModel):
    media: Annotated[Literal["application/vnd.dev.sigstore.bundle.v0.3+json"], Field(alias="mediaType")]
    material: Annotated[_Material, Field(alias="verificationMaterial")]
    envelope: Annotated[_Envelope, Field(alias="dsseEnvelope")]


class _Resource(BaseModel):
    name: str
    algorithm: Literal["sha256", "blake2b"]
    digest: Annotated[str, Field(pattern="^[0-9a-f]+$")]


class _Serialization(BaseModel):
    method: Literal["files"]


class _Predicate(BaseModel):
    serialization: _Serialization
    resources: Annotated[list[_Resource], Field(min_length=1)]


class _Statement(BaseModel):
    kind: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    predicate_kind: Annotated[Literal["https://model_signing/signature/v1.0"], Field(alias="predicateType")]
    predicate: _Predicate


def verify_model(model: Path, signature: Path, key: Path) -> None:
    """Verify a file, or each file of a folder, against its signature and the key.

    A file more is refused as is one less: all that is uploaded is signed. Nothing is asked of anybody else.

    Raises:
        SwapError: SIGNATURE_INVALID, another key made it, it was altered, or files differ, which are named.
        UsageError: a file is missing, or is no public key, or no such signature; or the extra `signatures` is missing.

    """
    check_model(model)
    signed = {one.name: one for one in _signed(signature, key)}
    files = files_of(model) if model.is_dir() else {".": model}
    if wrong := list(_differences(model, files, signed)):
        more = f", and {len(wrong) - _MOST_FILES} more files" if len(wrong) > _MOST_FILES else ""
        names = ", ".join(wrong[:_MOST_FILES])
        raise SwapError(SwapCode.SIGNATURE_INVALID, f"{model} is not what {signature} says: {names}{more}")


def _differences(model: Path, files: Mapping[str, Path], signed: Mapping[str, _Resource]) -> Iterator[str]:
    """Yield the differences."""
    for name in sorted(files.keys() | signed):
        shown = model.name if name == "." else name
        if name not in signed:
            yield f"{shown} is not signed"
        elif name not in files:
            yield f"{shown} is missing"
        elif _digest(files[name], signed[name].algorithm) != signed[name].digest:
            yield f"{shown} has other bytes"


def _digest(path: Path, algorithm: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _signed(signature: Path, key: Path) -> list[_Resource]:
    """Return the files that a signature by this key names."""
    public = _public_key(key)
    try:
        bundle = _Bundle.model_validate_json(_read(signature))
        _check(public, bundle, signature, key)
        return _Statement.model_validate_json(bundle.envelope.payload).predicate.resources
    except ValidationError as error:
        at = error.errors()[0]
        where = ".".join(map(str, at["loc"]))
        reason = f"{where}: {at['msg'][0].lower()}{at['msg'][1:]}"
        raise UsageError(f"{signature} is no model signature that a key can verify ({reason}): {_HOW}") from error


def _check(public: Any, bundle: _Bundle, signature: Path, key: Path) -> None:
    """Raise SwapError unless the key made the signature of the envelope."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - the same

    pem = public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    own, hint = hashlib.sha256(pem).hexdigest(), bundle.material.public_key.hint
    if hint and hint != own:
        why = f"{signature} was made by key {hint[:16]}, and {key} is {own[:16]}"
        raise SwapError(SwapCode.SIGNATURE_INVALID, why)
    message = pre_authentication(_PAYLOAD.encode(), bundle.envelope.payload)
    try:
        public.verify(bundle.envelope.signatures[0].sig, message, *_by(public))
    except InvalidSignature:
        why = f"{signature} is not a signature by {key}: it was altered, or made by another key"
        raise SwapError(SwapCode.SIGNATURE_INVALID, why) from None


def _public_key(path: Path) -> Any:
    """Return a public key of a PEM file: ECDSA on a NIST curve, as `model_signing` has them, or Ed25519."""
    check_installed()
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - the same

    pem = _read(path)
    try:
        public = load_pem_public_key(pem)
    except Exception as error:  # cryptography has many kinds of it
        raise UsageError(f"{path} is no public key in PEM (`openssl pkey -in KEY -pubout` writes one)") from error
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in ("secp256r1", "secp384r1", "secp521r1"):
        return public
    raise UsageError(f"{path} is a key of another kind: take one on the curve P-256, P-384 or P-521, or Ed25519")


def _by(public: Any) -> list[Any]:
    """Return further arguments of a key's `verify`: for ECDSA, the digest that fits the curve, as Sigstore has it."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - the same

    if not isinstance(public, ec.EllipticCurvePublicKey):
        return []
    return [ec.ECDSA({256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[public.curve.key_size])]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
