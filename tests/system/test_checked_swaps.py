"""`hotswap swap … --check` against a real Kafka, worker and models: what it says, and that it writes nothing."""

import json
from pathlib import Path

from harness.command import hotswap
from harness.fleet import EXAMPLES, messages
from hotswap.client.change import Change
from hotswap.kafka.topics.admin import Admin

MODELS, PROTOS = EXAMPLES / "models", EXAMPLES / "protos"


async def written(deployment):
    """Return all that a command would change: the ends of the topics, and the files of the store."""
    topics = deployment.settings.topics
    async with Admin.connect(deployment.settings) as admin:
        ends = [await admin.end_offsets(topic) for topic in (topics.control, topics.requests, topics.predictions)]
    return ends, sorted(str(path) for path in (deployment.folder / "store").rglob("*"))


async def checked(deployment, *words, code=0):
    before = await written(deployment)
    printed, told = await hotswap(deployment, *words, "--check", "--json", code=code)
    assert await written(deployment) == before
    return json.loads(printed), told


async def test_a_plan_says_what_would_be_loaded_where_it_would_be_cut_and_that_nothing_stands_against_it(deployment):
    await deployment.serve("iris_gbm")
    glm = MODELS / "iris_glm.zip"
    plan, _ = await checked(deployment, "swap", deployment.name, "--model", glm)
    assert (plan["is_good"], plan["generation"], plan["serving"], plan["base"]) == (True, 2, 1, 1)
    assert (plan["inherited"], plan["changed"]) == (["proto", "configuration"], ["model"])
    assert plan["local"]["fits"] == {"Classify": ["sepal_length", "sepal_width", "petal_length", "petal_width"]}
    assert (plan["local"]["unchecked"], plan["lacking"], plan["live"]) == ("", "", 1)
    assert plan["course"] == ["in one step, at once: each partition at its next batch"]
    assert Path(plan["model"]["uri"].removeprefix("file://")).name == "iris_glm.zip"

    table, _ = await hotswap(deployment, "swap", deployment.name, "--model", glm, "--canary", "1/4", "--check")
    shown = table.decode()
    assert "promoted on partition 0 once all are ready (1 of 4)" in shown
    assert "4 fit: sepal_length" in shown
    assert await deployment.stop() == 0


async def test_what_stands_against_it_is_told_with_every_reason(deployment, tmp_path):
    await deployment.serve("iris_gbm")
    await deployment.publish(messages("iris")[0][:10])
    await deployment.drained()
    cancer = ("--model", MODELS / "cancer_gbm.zip")

    plan, told = await checked(deployment, "swap", deployment.name, *cancer, "--canary", "1/3", code=1)
    assert "1/3 of 4 partitions is no whole number" in plan["reasons"][0]
    assert plan["reasons"][1].startswith("SCHEMA_MISMATCH: the model and the proto do not fit each other")
    assert plan["local"]["misfits"]
    assert "would be refused or fail: 1/3 of 4 partitions" in told

    plan, _ = await checked(deployment, "swap", deployment.name, *cancer, "--proto", PROTOS / "cancer.proto")
    assert plan["step"]["name"] == "major"
    assert plan["incompatible"]
    assert plan["is_staged"]
    assert plan["course"][-1] == "promoted on all partitions once all are ready, after the backlog of then"

    one_step = (*cancer, "--proto", PROTOS / "cancer.proto", "--one-step")
    plan, _ = await checked(deployment, "swap", deployment.name, *one_step)
    async with Admin.connect(deployment.settings) as admin:
        ends = await admin.end_offsets(deployment.settings.topics.requests)
    assert {int(one): end for one, end in plan["cut"].items()} == ends
    assert await deployment.stop() == 0


async def test_golden_answers_are_compared_here_from_a_file_and_from_the_store(deployment, tmp_path):
    await deployment.serve("iris_gbm")
    golden, glm = tmp_path / "golden.csv", MODELS / "iris_glm.zip"

    def rows(species):
        golden.write_text(f"sepal_length,sepal_width,petal_length,petal_width,species\n5.1,3.5,1.4,0.2,{species}\n")

    swap = ("swap", deployment.name, "--model", glm, "--golden")
    rows("setosa")
    plan, _ = await checked(deployment, *swap, golden)
    assert (plan["is_good"], plan["local"]["golden"], plan["notes"]) == (True, 1, [])
    shown, _ = await hotswap(deployment, *swap, golden, "--check")
    assert "with 1 golden row answered as expected" in shown.decode()
    await hotswap(deployment, *swap, golden)

    rows("virginica")
    plan, _ = await checked(deployment, *swap, golden, code=1)
    (reason,) = plan["reasons"]
    assert reason.startswith("GOLDEN_MISMATCH: 1 of 1 golden row got another answer than expected:")
    assert reason.endswith('row 1, species: expected "virginica", got "setosa"')
    plan, _ = await checked(deployment, *swap, "inherit")
    assert plan["local"]["golden"] == 1, "the generation before has some"
    assert await deployment.stop() == 0


async def test_a_rollback_is_checked_by_the_model_in_the_store(deployment):
    await deployment.serve("iris_gbm")
    async with deployment.client() as client:
        assert (await client.await_swap(await client.swap(Change(model=MODELS / "iris_glm.zip")))).is_good
    plan, _ = await checked(deployment, "rollback", deployment.name)
    assert (plan["is_good"], plan["generation"], plan["base"], plan["changed"]) == (True, 3, 1, ["model"])
    (stored,) = (deployment.folder / "store").rglob("iris_gbm.zip")
    stored.write_bytes(b"damaged")
    plan, _ = await checked(deployment, "rollback", deployment.name)
    assert plan["is_good"], "this machine's cache has it"
    assert await deployment.stop() == 0
