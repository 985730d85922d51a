"""The oracle of models that a run brings itself."""

from faults.oracle import Oracle
from faults.publisher import iris
from harness.fleet import EXAMPLES

DIGEST = "a" * 64
SHARES = ("setosa", "versicolor", "virginica")


def test_the_oracle_finds_an_answer_that_is_not_the_learned_models():
    oracle, values = Oracle(EXAMPLES), iris()
    predictions = [{"species": "setosa"} | dict.fromkeys(SHARES, number / 7) for number, _ in enumerate(values)]
    oracle.learn(DIGEST, like="iris_gbm", predictions=predictions, relative=1e-6)
    proto = oracle.model(DIGEST).proto_sha256

    def agrees(share, species="setosa"):
        answer = oracle.model(DIGEST).output(species=species, **dict.fromkeys(SHARES, share))
        return oracle.agrees(DIGEST, proto, values[5], answer.SerializeToString())

    assert agrees(5 / 7 * (1 + 1e-7))
    assert agrees(5 / 7 * (1 + 1e-5)) is False
    assert agrees(6 / 7) is False
    assert agrees(5 / 7, "virginica") is False
