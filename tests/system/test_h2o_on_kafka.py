"""Every category of H2O model through a real Kafka: one deployment, each model swapped for one of another category.

Each model has its own proto, made from the header of its data; the predictions topic must have what H2O itself
predicts, to 1e-9.
"""

from pathlib import Path

import pytest

from fakes.mojos import Mojo
from harness.audit import generation, source
from hotswap.client.change import Change
from hotswap.generation import Proto

SHARED = Path(__file__).parents[3] / "shared" / "models" / "h2o"
THEIRS = tuple(
    Mojo(name, vector, folder=SHARED, rows=f"{name}.input.csv")
    for name, vector in {
        "ae_cancer": "reconstruction",
        "gbm_big": "probabilities",
        "gbm_binomial": "probabilities",
        "gbm_iris": "probabilities",
        "glm_housing": "",
        "kmeans_iris": "",
    }.items()
)
OURS = (
    Mojo("gbm_binomial", "contributions"),
    Mojo("word2vec", "embedding", rows="words.csv"),
    Mojo("glm_ordinal", "probabilities"),
    Mojo("glm_offset"),
    Mojo("autoencoder", "reconstruction"),
    Mojo("kmeans_numeric", "distances"),
    Mojo("pca", "components"),
    Mojo("isolation_forest_flagged"),
    Mojo("coxph_strata"),
    Mojo("uplift"),
    Mojo("target_encoder_multinomial", "encodings"),
    Mojo("stacked_multinomial", "probabilities"),
    Mojo("xgboost_regression", "contributions"),
)


async def serve_one_after_the_other(deployment, mojos):
    """Swap to each model, request predictions for all of its rows, and compare them all at the end."""
    deployment.start()
    places = {}
    async with deployment.client() as client:
        for mojo in mojos:
            change = Change(model=mojo.model, proto=Proto.inline(mojo.proto), configuration=mojo.configuration)
            answer = await client.await_swap(await client.swap(change))
            assert answer.is_good, (mojo.name, answer, deployment.log()[-3000:])
            places[mojo] = await deployment.publish(mojo.requests()[: len(mojo.expected)])
            await deployment.drained()
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert (result.faults, result.dead_letters) == ({}, [])
    said = {source(message): message for message in result.predictions}
    for number, (mojo, asked) in enumerate(places.items(), 1):
        answers = [said[place.partition, place.offset] for place in asked]
        assert {generation(answer) for answer in answers} == {number}, mojo.name
        assert mojo.faults([answer.value() for answer in answers]) == [], mojo.name


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/models/h2o is not here")
async def test_models_of_another_h2o_predict_through_kafka_what_it_predicted_itself(deployment):
    await serve_one_after_the_other(deployment, THEIRS)


async def test_every_category_of_h2o_model_predicts_through_kafka_what_h2o_predicts_itself(deployment):
    await serve_one_after_the_other(deployment, OURS)
