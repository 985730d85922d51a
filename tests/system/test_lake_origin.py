"""What `hotswap batch` scores with, from a deployment's control log and its store on a real Kafka."""

import pytest

from harness.fleet import EXAMPLES
from hotswap.client.change import Change, read_proto
from hotswap.errors import UsageError
from hotswap.generation import Configuration, Policy
from hotswap.lake.origin import OriginScorer, fetch

MODELS = EXAMPLES / "models"
PROTO = EXAMPLES / "protos" / "iris.proto"


async def test_a_generation_has_the_digest_of_the_package_that_it_was_swapped_to(deployment, tmp_path):
    with pytest.raises(UsageError, match=r"has no generation \(accepted: none\)"):
        await fetch(deployment.settings, None, tmp_path)
    strict = Configuration(unknown_category=Policy.REFUSE)
    async with deployment.client() as client:
        first = await client.swap(Change(model=MODELS / "iris_gbm.zip", proto=PROTO, configuration=strict))
        second = await client.swap(Change(model=MODELS / "iris_glm.zip"))

    folders = [tmp_path / "newest", tmp_path / "older"]
    for folder in folders:
        folder.mkdir()
    newest = await fetch(deployment.settings, None, folders[0])
    older = await fetch(deployment.settings, first.generation, folders[1])
    assert (newest.generation, older.generation) == (second.generation, first.generation)
    assert older.model.read_bytes() == (MODELS / "iris_gbm.zip").read_bytes()
    package = OriginScorer(
        generation=0,
        kind="h2o",
        model=MODELS / "iris_gbm.zip",
        proto=read_proto(PROTO),
        configuration=strict,
    )
    assert older.origin("predict").digest == package.origin("predict").digest
    assert newest.origin("predict").digest != package.origin("predict").digest
    with pytest.raises(UsageError, match=r"has no generation 9 \(accepted: 1, 2\)"):
        await fetch(deployment.settings, 9, tmp_path)
