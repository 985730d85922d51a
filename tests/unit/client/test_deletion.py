"""What `hotswap delete` deletes of a deployment, and what stays: decided from what is in Kafka."""

import pytest

from hotswap.client.deletion import Facts, plan_of
from hotswap.settings import Settings

OURS = Settings(deployment="churn").topics


def plan(**found):
    usual = {
        "deployment": "churn",
        "topics": OURS,
        "defaults": OURS,
        "group": "churn",
        "existing": frozenset(OURS),
        "groups": frozenset({"churn", "unrelated"}),
        "workers": (),
        "members": (),
        "readers": ("churn",),
    }
    return plan_of(Facts(**usual | found))


def why(made, what):
    return next((stays.why for stays in made.stays if stays.what == what), None)


def test_the_group_and_the_three_topics_of_the_data_go_and_the_logs_and_artifacts_stay():
    made = plan()
    assert (made.refusal, made.group, made.topics) == ("", "churn", OURS[:3])
    assert [stays.what for stays in made.stays] == [
        "topic churn.control",
        "topic hotswap.status",
        "artifacts in stores",
    ]


def test_nothing_is_deleted_while_a_worker_lives_or_is_a_member():
    assert plan(workers=("w1", "w2")).refusal == "workers of churn live (w1, w2): stop them first"
    assert "group churn has members (hotswap-w3)" in plan(members=("hotswap-w3",)).refusal
    assert plan(deployment="").refusal == "name the deployment to delete"


@pytest.mark.parametrize(("readers", "told"), [(["shadow"], "group shadow reads"), (["a", "b"], "groups a, b read")])
def test_a_shadow_or_a_moved_deployment_keeps_all_three_topics_and_is_named(readers, told):
    made = plan(readers=("churn", *readers))
    assert (made.group, made.topics) == ("churn", ())
    assert [why(made, f"topic {topic}") for topic in OURS[:3]] == [f"{told} churn.requests"] * 3


def test_a_shadow_goes_with_its_answers_and_its_commands_and_the_requests_of_the_other_stay():
    named = Settings(deployment="churn.shadow")
    ours, requests = named.topics, "churn.requests"
    shadow = {
        "deployment": "churn.shadow",
        "topics": ours._replace(requests=requests),
        "defaults": ours,
        "group": "churn.shadow",
        "existing": frozenset({requests, *ours[1:]}),
        "groups": frozenset({"churn", "churn.shadow"}),
        "readers": ("churn", "churn.shadow"),
        "is_shadow": True,
    }
    made = plan(**shadow)
    assert (made.group, made.topics) == ("churn.shadow", (*ours[1:3], ours.control))
    assert [stays.what for stays in made.stays] == [f"topic {requests}", "topic hotswap.status", "artifacts in stores"]
    shared = plan(**shadow | {"topics": ours._replace(requests=requests, control="hotswap.control")})
    assert shared.topics == ours[1:3]
    gone = plan(**shadow | {"existing": frozenset({requests, ours.status})})
    assert gone.topics == ()


def test_where_not_all_groups_can_be_seen_the_topics_stay():
    made = plan(unseen="this user may not see all groups")
    assert made.topics == ()
    assert why(made, "topic churn.requests") == "this user may not see all groups"


def test_a_topic_of_another_name_stays_and_those_of_the_default_names_go():
    made = plan(topics=OURS._replace(predictions="scores"), existing=frozenset({*OURS, "scores"}))
    assert made.topics == ("churn.requests", "churn.dead-letters")
    assert why(made, "topic scores") == "its name is not the default, churn.predictions: others may use it"


def test_what_is_not_there_is_neither_deleted_nor_listed():
    made = plan(existing=frozenset({"churn.requests"}), groups=frozenset())
    assert (made.group, made.topics) == ("", ("churn.requests",))
    assert [stays.what for stays in made.stays] == ["artifacts in stores"]
