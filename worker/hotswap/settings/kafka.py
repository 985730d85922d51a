"""Kafka's address and a client's credentials."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class KafkaSettings(BaseSettings):
    """How to reach the brokers, and as whom. Secrets are never logged."""

    model_config = SettingsConfigDict(defer_build=True)

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers: `host:port`, separated by commas.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to connect to the brokers: in plain text or over TLS, with or without SASL."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512",
        description="How to authenticate; only SASL protocols use it. `PLAIN` and `SCRAM` take the user name and "
        "password, `OAUTHBEARER` a token.",
    )
    sasl_username: str | None = Field(None, description="User name to authenticate with.")
    sasl_password: str | None = Field(None, repr=False, description="Password of that user. It is never logged.")
    sasl_password_file: Path | None = Field(
        None, description="File with that password instead, which is read anew for each connection."
    )
    oauth_token_url: str | None = Field(
        None,
        description="Token endpoint for `OAUTHBEARER` (client credentials: RFC 6749, section 4.4). Without `https://` "
        "the secret goes there in plain text.",
    )
    oauth_client_id: str | None = Field(None, description="Client id at the token endpoint.")
    oauth_client_secret: str | None = Field(None, repr=False, description="Secret of that client. It is never logged.")
    oauth_client_secret_file: Path | None = Field(
        None, description="File with that secret instead, which is read anew for each token."
    )
    oauth_scope: str | None = Field(None, description="Scope to ask the token endpoint for. Default: the client's.")
    oauth_token_provider: str | None = Field(
        None,
        description="Name of an entry point of the group `hotswap.token_providers`, which returns tokens for "
        "`OAUTHBEARER` instead of a token endpoint, as for MSK IAM (docs/using.md).",
    )
    ssl_ca: Path | None = Field(
        None,
        description="PEM file of the certificate authority that signed the brokers' certificates. Default: the "
        "authorities that the system trusts. This file and those of the certificate are read again when they change.",
    )
    ssl_certificate: Path | None = Field(
        None, description="PEM file of the client's certificate, with its chain, for brokers that ask for one."
    )
    ssl_key: Path | None = Field(
        None, description="PEM file of the certificate's private key. Default: it is in the certificate's file."
    )
    ssl_key_password: str | None = Field(
        None, repr=False, description="Password of the private key. It is never logged."
    )
    ssl_key_password_file: Path | None = Field(None, description="File with that password instead.")
    ssl_check_hostname: bool = Field(
        True,
        description="Whether a broker's certificate must name the host that is connected to. `false`: whoever has any "
        "certificate of that authority can pose as a broker.",
    )
