"""The least rights of each role, and who lacks them."""

import json

import pytest
from click.testing import CliRunner

from hotswap.cli.main import main
from hotswap.errors import UsageError
from hotswap.kafka.client.acls import Right, lacking, rights_of
from hotswap.kafka.client.credentials import arguments, principal
from hotswap.kafka.client.roles import KafkaRole
from hotswap.settings import Settings

SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "worker", "sasl_password": "x"}
OAUTH = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER", "oauth_client_id": "w"}


def hotswap(*words):
    done = CliRunner().invoke(main, ["acls", "churn", *words], env={"HOTSWAP_CONTROL_TOPIC": "churn.control"})
    return done.exit_code, done.output


def test_a_worker_needs_what_it_does_and_no_transactional_id_at_least_once():
    needed = rights_of(KafkaRole.WORKER, Settings(deployment="churn", group="fleet"))
    assert needed[-2:] == [
        Right("Read", "group", "fleet"),
        Right("Write", "transactional_id", "fleet-churn.requests-", is_prefix=True),
    ]
    assert str(needed[-1]) == "Write of transactional id fleet-churn.requests-*"
    simple = rights_of(KafkaRole.WORKER, Settings(deployment="churn", delivery="at_least_once"))
    assert {right.kind for right in simple} == {"topic", "group"}


def test_the_command_prints_each_role_under_its_name_or_one():
    code, told = hotswap("--principal", "User:w")
    assert code == 0
    assert [line for line in told.splitlines() if line[0] == "#"] == [
        f"# {role}" for role in KafkaRole if role is not KafkaRole.SHADOW
    ]
    assert all("--allow-principal User:w" in line for line in told.splitlines() if line[0] != "#")
    code, told = hotswap("--principal", "User:w", "--role", "reader")
    assert [line.partition(" --operation ")[2] for line in told.splitlines()[1:]] == [
        "Read --topic churn.predictions",
        "Read --topic churn.dead-letters",
    ]


def test_a_shadow_writes_to_topics_of_its_own_alone_and_reads_no_answer_of_the_deployment():
    granted = rights_of(KafkaRole.SHADOW, Settings(deployment="churn", predictions_topic="p", control_topic="c"))
    assert {right.name for right in granted if right.operation in ("Write", "Create")} == {
        "churn.shadow.",
        "churn.shadow.control",
        "churn.shadow.dead-letters",
        "churn.shadow.predictions",
        "churn.shadow-churn.requests-",
        "hotswap.status",
    }
    read = {right.name for right in granted if right.operation == "Read" and right.kind == "topic"}
    assert read >= {"churn.requests", "c", "hotswap.status"}
    assert not read & {"p", "churn.dead-letters"}
    assert Right("Read", "group", "churn.shadow") in granted
    assert Right("Describe", "group", "churn") in granted
    code, told = hotswap("--principal", "User:w", "--role", "shadow")
    assert code == 0
    assert "--operation Create --topic churn.shadow. --resource-pattern-type prefixed" in told


def test_a_user_of_strimzi_has_each_resource_once():
    code, told = hotswap("--principal", "User:w", "--format", "strimzi", "--role", "worker", "--role", "reader")
    assert code == 0
    granted = [json.loads(line.strip()[2:]) for line in told.splitlines() if line.strip().startswith("- {")]
    places = [(one["resource"]["type"], one["resource"]["name"]) for one in granted]
    assert len(places) == len(set(places)) == 7
    assert granted[2] == {
        "resource": {"type": "topic", "name": "churn.dead-letters", "patternType": "literal"},
        "operations": ["Read", "Write", "DescribeConfigs"],
    }
    assert granted[-1]["resource"]["patternType"] == "prefix"


def test_a_principal_has_a_type():
    code, told = hotswap("--principal", "worker")
    assert (code, told) == (2, "hotswap: 'worker' is not a Kafka principal: did you mean User:worker?\n")


def test_one_line_says_who_lacks_what():
    settings = Settings(deployment="churn", **SASL)
    assert lacking(settings, []) == ""
    rights = [Right("Read", "topic", "a"), Right("Write", "transactional_id", "b-", is_prefix=True)]
    assert lacking(settings, rights) == (
        "User:worker lacks the right Read of topic a, Write of transactional id b-*: grant it (`hotswap acls churn "
        "--principal 'User:worker'` prints what each role needs)"
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "User:ANONYMOUS"),
        (SASL, "User:worker"),
        ({**OAUTH, "oauth_client_secret": "x", "oauth_token_url": "http://a/"}, "the principal of its token"),
        ({"security_protocol": "SSL", "ssl_certificate": "/a.pem"}, "the principal of /a.pem"),
    ],
)
def test_a_principal_is_told_as_far_as_it_is_known(given, told):
    assert principal(Settings(deployment="d", **given)) == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({**SASL, "sasl_username": None}, "SCRAM-SHA-512 needs a user: set HOTSWAP_SASL_USERNAME"),
        ({**SASL, "sasl_password": None}, "needs a password: set HOTSWAP_SASL_PASSWORD_FILE"),
        ({**SASL, "sasl_password_file": "/p"}, "HOTSWAP_SASL_PASSWORD and HOTSWAP_SASL_PASSWORD_FILE are both set"),
        ({**SASL, "sasl_password": None, "sasl_password_file": "/nowhere"}, "/nowhere cannot be read: No such file"),
        (OAUTH, "set either HOTSWAP_OAUTH_TOKEN_URL or HOTSWAP_OAUTH_TOKEN_PROVIDER"),
        ({**OAUTH, "oauth_token_url": "http://a/"}, "set HOTSWAP_OAUTH_CLIENT_ID and HOTSWAP_OAUTH_CLIENT_SECRET_FILE"),
        ({**OAUTH, "oauth_token_provider": "x"}, "there is no token provider 'x'"),
        ({"security_protocol": "SSL", "ssl_ca": "/nowhere"}, "HOTSWAP_SSL_CA: /nowhere has no certificate"),
        ({"security_protocol": "SSL", "ssl_key": "/k"}, "HOTSWAP_SSL_KEY is set without a certificate"),
        ({"security_protocol": "SSL", "ssl_certificate": "/c"}, "/c: no certificate and its key: No such file"),
    ],
)
def test_a_setting_that_is_missing_or_does_not_fit_is_named(given, told):
    with pytest.raises(UsageError) as error:
        arguments(Settings(deployment="d", **given))
    assert told in str(error.value)
