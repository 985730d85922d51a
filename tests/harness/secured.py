"""A Kafka that enforces: listeners for passwords and tokens and for certificates over TLS, and ACLs."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them without saying so
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from harness.fleet import Deployment
from harness.kafkas import local_kafka
from harness.pki import Authority, TokenEndpoint
from hotswap.local.kafka import LocalKafka, free_ports

HAS_OPENSSL = shutil.which("openssl") is not None
PASSWORD = "open=sesame, please"
"""Of every user; SCRAM's and JAAS's own special characters are in it."""
_LOGIN = "org.apache.kafka.common.security"
_MECHANISMS = {"scram-sha-256": "scram.ScramLoginModule", "scram-sha-512": "scram.ScramLoginModule"}


@dataclass(frozen=True)
class At:
    """A listener."""

    bootstrap: str


class SecuredKafka:
    """One broker; everything is allowed to who comes in plain text, and to others what ACLs say."""

    def __init__(self, kafka: LocalKafka, authority: Authority, endpoint: TokenEndpoint, ports: dict[str, int]) -> None:
        self.kafka, self.authority, self.endpoint, self.ports = kafka, authority, endpoint, ports
        self.listens = ports
        """The broker's own ports, by listener; `ports` are what clients connect to."""
        self._admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    @property
    def bootstrap(self) -> str:
        """For administrators, in plain text."""
        return self.kafka.bootstrap

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        """Make a user of SCRAM, or give it another password."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            info = ScramCredentialInfo(mechanism, 4096)
            altered = self._admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, info, password.encode())]
            )
            for done in altered.values():
                done.result(10)

    def settings(self, mechanism: str, user: str = "worker") -> dict[str, Any]:
        """Return the settings of a client that authenticates this way."""
        ours: dict[str, Any] = {"ssl_ca": self.authority.ca}
        if mechanism == "SSL":
            certificate, key = (self.authority.folder / f"{user}.{ending}" for ending in ("pem", "key"))
            ours |= {"security_protocol": "SSL", "ssl_certificate": certificate, "ssl_key": key}
            return {"kafka": f"127.0.0.1:{self.ports['MUTUAL']}", **ours}
        ours |= {"security_protocol": "SASL_SSL", "sasl_mechanism": mechanism}
        if mechanism == "OAUTHBEARER":
            ours |= {"oauth_token_url": f"{self.endpoint.url}/token", "oauth_client_id": user}
            ours |= {"oauth_client_secret": PASSWORD}
        else:
            ours |= {"sasl_username": user, "sasl_password": PASSWORD}
        return {"kafka": f"127.0.0.1:{self.ports['CLIENT']}", **ours}

    def deployment(self, folder: Path, mechanism: str, user: str = "worker", **more: Any) -> Deployment:
        """Return a deployment whose workers and clients authenticate this way."""
        login = self.settings(mechanism, user)
        return Deployment(At(login.pop("kafka")), folder, **login, **more)

    def allow(self, bindings: Iterable[AclBinding]) -> None:
        for done in self._admin.create_acls(list(bindings)).values():
            done.result(10)

    def forbid(self, binding: AclBinding) -> None:
        """Take an ACL away."""
        named = AclBindingFilter(
            binding.restype,
            binding.name,
            binding.resource_pattern_type,
            binding.principal,
            binding.host,
            binding.operation,
            binding.permission_type,
        )
        for done in self._admin.delete_acls([named]).values():
            done.result(10)


def binding(right: Any, principal: str = "User:worker") -> AclBinding:
    """Return a right of hotswap's as an ACL."""
    return AclBinding(
        ResourceType[right.kind.upper()],
        right.name,
        ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL,
        principal,
        "*",
        AclOperation[_constant(right.operation)],
        AclPermissionType.ALLOW,
    )


def _constant(operation: str) -> str:
    return {"DescribeConfigs": "DESCRIBE_CONFIGS"}.get(operation, operation.upper())


@contextmanager
def secured_kafka(folder: Path, advertised: Mapping[str, int] | None = None, **settings: str) -> Iterator[SecuredKafka]:
    """Start it; `settings` are Kafka's own, with `_` for `.`.

    `advertised` is where clients find a listener instead of at its own port: the ports of proxies.
    """
    authority = Authority(folder / "pki")
    certificate, key = authority.sign("broker")
    keystore = authority.folder / "broker.keystore"
    keystore.write_text(key.read_text() + certificate.read_text())
    ports = dict(zip(("PLAINTEXT", "CLIENT", "MUTUAL", "CONTROLLER"), free_ports(), strict=False))
    with ExitStack() as stack:
        endpoint = stack.enter_context(TokenEndpoint(folder / "tokens").serving())
        endpoint.secrets["worker"] = PASSWORD
        known = ports | dict(advertised or {})
        ours = _broker(ports, known, keystore, authority.ca, endpoint.url)
        ours |= {name.replace("_", "."): value for name, value in settings.items()}
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={endpoint.url}/jwks"
        kafka = stack.enter_context(local_kafka(port=ports["PLAINTEXT"], settings=ours, properties=[allowed]))
        made = SecuredKafka(kafka, authority, endpoint, known)
        made.listens = ports
        authority.sign("worker")
        made.add_user("worker")
        yield made


def _broker(ports: dict[str, int], known: dict[str, int], keystore: Path, ca: Path, issuer: str) -> dict[str, str]:
    addresses, shown = ({name: f"{name}://127.0.0.1:{at[name]}" for name in ports} for at in (ports, known))
    quoted = PASSWORD.replace('"', '\\"')
    ours = {
        "listeners": ",".join(addresses.values()),
        "advertised.listeners": ",".join(at for name, at in shown.items() if name != "CONTROLLER"),
        "controller.quorum.voters": f"1@127.0.0.1:{ports['CONTROLLER']}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CLIENT:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
        "listener.name.client.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.client.plain.sasl.jaas.config": (
            f'{_LOGIN}.plain.PlainLoginModule required user_worker="{quoted}" user_publisher="{quoted}";'
        ),
        "listener.name.client.oauthbearer.sasl.jaas.config": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
        "listener.name.client.oauthbearer.sasl.server.callback.handler.class": (
            f"{_LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        ),
        "sasl.oauthbearer.jwks.endpoint.url": f"{issuer}/jwks",
        "sasl.oauthbearer.expected.audience": "kafka",
        "sasl.oauthbearer.expected.issuer": "tests",
        "sasl.oauthbearer.clock.skew.seconds": "0",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    for mechanism, module in _MECHANISMS.items():
        ours[f"listener.name.client.{mechanism}.sasl.jaas.config"] = f"{_LOGIN}.{module} required;"
    return ours
