"""Trusted keys and the signing key of commands."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict


class TrustSettings(BaseSettings):
    """Settings of workers and of the senders of commands."""

    model_config = SettingsConfigDict(defer_build=True)

    trust: Path | None = Field(
        None,
        description="TOML file of the public keys that may sign commands, with their roles, deployments, begin and end "
        "(`hotswap keys new` prints an entry). The same on every worker and client. Signatures are demanded from the "
        "first signed `hotswap keys require` of the control topic on. Needs the extra `signatures`. Default: commands "
        "need no signature.",
    )
    require_signatures: bool = Field(
        False,
        description="Whether this worker refuses to start unless commands must be signed: the control topic has a "
        "signed `hotswap keys require`, and its brokers' timestamps (message.timestamp.type=LogAppendTime). Needs "
        "`trust`.",
    )
    sign_with: Path | None = Field(
        None,
        description="PEM file of the private key with which the command line, the gateway and the console sign "
        "commands. Workers do not use it.",
    )

    @field_validator("trust", mode="before")
    @classmethod
    def _is_named(cls, value: object) -> object:
        if value == "":  # not no trust file: whoever meant one would go without signatures
            raise PydanticCustomError("empty", "is empty: name the file of the keys that may sign, or unset it")
        return value

    @field_validator("require_signatures")
    @classmethod
    def _has_keys(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's
        if value and not info.data.get("trust"):
            raise PydanticCustomError("no_trust", "needs HOTSWAP_TRUST: name the file of the keys that may sign")
        return value
