"""Every category and algorithm that a MOJO can have, in one Java: what H2O itself predicts, to 1e-9.

test_h2o.py has a real model host for each of its models. These are made by tests/models/train_h2o.py. Contributions are
compared like all else: H2O and its library compute the same float32.
"""

import math
from dataclasses import replace

import pytest

from fakes.mojos import MODELS, SMALLEST, Mojo
from harness.easy import easy_predict
from harness.lab import Lab
from hotswap.batch import Code
from hotswap.errors import SwapError
from hotswap.generation import Configuration, Policy

CONTRIBUTIONS, ENCODINGS, COMPONENTS = "contributions", "encodings", "components"
MOJOS = (
    Mojo("gbm_binomial", CONTRIBUTIONS),
    Mojo("gbm_multinomial", "probabilities"),
    Mojo("gbm_regression", CONTRIBUTIONS),
    Mojo("gbm_many_sets"),
    Mojo("gbm_offset", CONTRIBUTIONS),
    Mojo("gbm_calibrated", "calibrated_probabilities"),
    Mojo("gbm_calibrated_isotonic", "calibrated_probabilities"),
    Mojo("gbm_one_hot_explicit", CONTRIBUTIONS),
    Mojo("gbm_binary"),
    Mojo("gbm_eigen"),
    Mojo("gbm_label_encoder"),
    Mojo("gbm_sort_by_response"),
    Mojo("gbm_enum_limited"),
    Mojo("gbm_one_hot_offset"),
    Mojo("gbm_binary_offset"),
    Mojo("drf_binomial", CONTRIBUTIONS),
    Mojo("drf_multinomial", "probabilities"),
    Mojo("drf_regression", CONTRIBUTIONS),
    Mojo("xgboost_binomial", CONTRIBUTIONS),
    Mojo("xgboost_multinomial", "probabilities"),
    Mojo("xgboost_regression", CONTRIBUTIONS),
    Mojo("xgboost_offset"),
    Mojo("xgboost_one_hot", CONTRIBUTIONS),
    Mojo("xgboost_one_hot_offset"),
    Mojo("xgboost_sort_by_response"),
    Mojo("glm_binomial", "probabilities"),
    Mojo("glm_quasibinomial", "probabilities"),
    Mojo("glm_fractional_binomial", "probabilities"),
    Mojo("glm_multinomial", "probabilities"),
    Mojo("glm_ordinal", "probabilities"),
    Mojo("glm_gaussian"),
    Mojo("glm_tweedie"),
    Mojo("glm_offset"),
    Mojo("deep_binomial", "probabilities"),
    Mojo("deep_multinomial", "probabilities"),
    Mojo("deep_regression"),
    Mojo("deep_binary"),
    Mojo("deep_eigen"),
    Mojo("autoencoder", "reconstruction"),
    Mojo("autoencoder_numeric", "reconstruction"),
    Mojo("autoencoder_not_standardized", "reconstruction"),
    Mojo("stacked_binomial", "probabilities"),
    Mojo("stacked_multinomial", "probabilities"),
    Mojo("stacked_regression"),
    Mojo("rulefit_binomial", "probabilities"),
    Mojo("rulefit_multinomial", "probabilities"),
    Mojo("rulefit_regression"),
    Mojo("gam_regression"),
    Mojo("gam_of_splines_alone"),
    Mojo("gam_monotone"),
    Mojo("gam_m_splines"),
    Mojo("gam_binomial", "probabilities"),
    Mojo("gam_multinomial", "probabilities"),
    Mojo("isotonic"),
    Mojo("coxph"),
    Mojo("coxph_offset"),
    Mojo("coxph_strata"),
    Mojo("coxph_interactions"),
    Mojo("uplift"),
    Mojo("uplift_one_hot"),
    Mojo("uplift_binary"),
    Mojo("uplift_enum_limited"),
    Mojo("kmeans"),
    Mojo("kmeans_numeric", "distances"),
    Mojo("kmeans_one_hot"),
    Mojo("pca", COMPONENTS),
    Mojo("glrm", COMPONENTS),
    Mojo("isolation_forest"),
    Mojo("isolation_forest_flagged"),
    Mojo("extended_isolation_forest"),
    Mojo("extended_isolation_forest_one_hot"),
    Mojo("target_encoder_binomial", ENCODINGS),
    Mojo("target_encoder_multinomial", ENCODINGS),
    Mojo("target_encoder_interaction", ENCODINGS),
    Mojo("word2vec", "embedding", rows="words.csv"),
    Mojo("phrases", "embedding", rows="phrased.csv"),
)
BY_NAME = {mojo.name: mojo for mojo in MOJOS}
REFUSED = (
    (Mojo("deep_offset"), "trained with the offset `exposure`, which a MOJO of DEEPLEARNING ignores"),
    (Mojo("deep_enum_limited"), "trained with a categorical_encoding that its MOJO does not support"),
    (Mojo("gam_both_splines"), "cannot expand this GAM's columns to splines"),
)
ONE_OF_EACH = (
    "autoencoder",
    "gbm_one_hot_explicit",
    "xgboost_one_hot",
    "coxph_strata",
    "target_encoder_binomial",
    "gam_multinomial",
    "pca",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab") / "h2o", "h2o", heap_mb=128)
    yield made
    made.close()


@pytest.fixture
def refusal_of(lab):
    """Try to load a model, and return why it is refused."""

    def refuse(load) -> SwapError:
        with pytest.raises(SwapError) as refused:
            lab.load(load)
        return refused.value

    return refuse


@pytest.mark.parametrize("mojo", MOJOS, ids=lambda mojo: mojo.name)
def test_a_mojo_predicts_what_h2o_predicts_and_treats_an_unknown_level_as_missing(lab, mojo):
    scored = mojo.requests()[: len(mojo.expected)]
    whole = mojo.whole_row
    odd = [mojo.request(whole, **dict.fromkeys(mojo.levels, level)) for level in ("mauve", None)]

    (reads,) = lab.load(mojo.load()).reads.values()
    answers, unknown = lab.score([*scored, *odd])
    alone, _ = lab.score(scored[-1:])

    assert mojo.faults(answers[:-2]) == []
    assert answers[-2] == answers[-1]
    assert unknown == dict.fromkeys(mojo.levels, 1)
    assert {path for path, known in reads.items() if known} == mojo.levels
    assert alone == answers[len(scored) - 1 : len(scored)]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_missing_and_unknown_levels_are_refused_if_the_policies_say_so(lab, name):
    mojo = BY_NAME[name]
    policies = replace(mojo.configuration, missing=Policy.REFUSE, unknown_category=Policy.REFUSE)
    requests = [mojo.request(mojo.whole_row, **changed) for changed in ({}, {"color": "mauve"}, {"color": None})]

    described = lab.load(mojo.load(configuration=policies))
    (good, *refused), _ = lab.score(requests)

    assert isinstance(good, bytes)
    assert [refusal.code for refusal in refused] == [Code.UNKNOWN_CATEGORY, Code.MISSING_FIELD]
    assert not any(known for reads in described.reads.values() for known in reads.values()), "the refusal says it"


@pytest.mark.parametrize(("mojo", "told"), REFUSED, ids=lambda value: getattr(value, "name", ""))
def test_a_mojo_whose_predictions_would_be_wrong_is_refused(refusal_of, mojo, told):
    refused = refusal_of(mojo.load())

    assert (refused.code, told in refused.message) == ("MODEL_UNSUPPORTED", True)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sk4.pkl", "a Python pickle of scikit-learn: no kind serves it: "),
        ("m.onnx", "an ONNX model: pass it as kind onnx"),
    ],
)
def test_a_file_of_another_library_is_refused_as_what_it_is(refusal_of, name, told):
    load = replace(BY_NAME["gbm_binomial"].load(), model=MODELS.parent / "strangers" / name)

    refused = refusal_of(load)

    assert refused.code == "MODEL_INVALID"
    assert refused.message.startswith(f"the model is {told}")
    assert "the artifact is not a readable H2O MOJO" in refused.message


# ---- contributions, and other options


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gbm_multinomial", "multinomial classification problems is not yet supported"),
        ("glm_binomial", "only GBM, DRF and XGBoost models"),
        ("isolation_forest", "only GBM, DRF and XGBoost models"),
        ("word2vec", "only GBM, DRF and XGBoost models"),
    ],
)
def test_contributions_are_refused_if_the_model_does_not_support_them(refusal_of, name, told):
    refused = refusal_of(BY_NAME[name].load(configuration=Configuration(runtime={"contributions": "true"})))

    assert (refused.code, told in refused.message) == ("MODEL_UNSUPPORTED", True)


@pytest.mark.parametrize("runtime", [{}, {"contributions": "false"}], ids=str)
def test_contributions_are_an_output_only_if_configured(refusal_of, runtime):
    refused = refusal_of(BY_NAME["gbm_binomial"].load(configuration=Configuration(runtime=runtime)))

    assert refused.code == "SCHEMA_MISMATCH"
    assert "`contribution_x0` (double): the model has no output `contribution_x0`" in refused.message


@pytest.mark.parametrize(
    ("runtime", "told"),
    [
        ({"contribution": "true"}, "the runtime h2o has no option `contribution`; its options are: contributions"),
        ({"contributions": "yes"}, "the runtime h2o's option `contributions` is 'yes'; make it false or true"),
    ],
    ids=["name", "value"],
)
def test_an_unknown_option_is_refused_with_the_known_ones(refusal_of, runtime, told):
    refused = refusal_of(BY_NAME["gbm_binomial"].load(configuration=Configuration(runtime=runtime)))

    assert (refused.code, refused.message) == ("CONFIGURATION_INVALID", told)


# ---- models that are odd in their own way


def test_a_glrm_scores_a_row_the_same_at_any_position(lab):
    mojo = BY_NAME["glrm"]
    requests = mojo.requests()

    lab.load(mojo.load())
    (once, _), (again, _) = lab.score(requests), lab.score(requests[::-1])

    assert once == again[::-1]


def test_each_trained_word_is_found_whatever_white_space_it_holds(lab):
    mojo = BY_NAME["phrases"]
    words = ["new york", "new york city", "red fox", "red", "fox", "over", "york"]

    lab.load(mojo.load())
    answers, _ = lab.score([mojo.request({"word": word}) for word in words])

    judged = [
        answer["wordEmbeddings"]["word"] for answer in easy_predict(mojo.model, [{"word": word} for word in words])
    ]
    assert judged[-1] is None
    assert [list(mojo.operation.output.FromString(answer).embedding) for answer in answers[:-1]] == judged[:-1]
    assert all(map(math.isnan, mojo.operation.output.FromString(answers[-1]).embedding))


@pytest.mark.parametrize("name", ["autoencoder", "autoencoder_numeric", "autoencoder_not_standardized"])
def test_an_autoencoders_error_is_easypredicts_and_h2os_own_where_that_is_nan(lab, name):
    mojo = BY_NAME[name]
    numbers = [place for place in mojo.inputs[0] if place.startswith("x")]
    rows = [
        {place: float(value) if place in numbers else value for place, value in row.items() if value}
        for row in mojo.inputs
    ]

    lab.load(mojo.load())
    answers, _ = lab.score(mojo.requests())

    errors = [mojo.operation.output.FromString(answer).Reconstruction_MSE for answer in answers]
    judged = [answer["mse"] for answer in easy_predict(mojo.model, rows)]
    lacking = [any(not row[place] for place in numbers) for row in mojo.inputs]
    assert list(map(math.isnan, judged)) == lacking, "a missing category is not what makes it NaN"
    assert set(lacking) == {True, False}
    own = [float(row["Reconstruction_MSE"]) for row in mojo.expected]
    wanted = [own[row] if lacks else judged[row] for row, lacks in enumerate(lacking)]
    assert errors == pytest.approx(wanted, abs=SMALLEST)


def test_a_text_of_unknown_words_is_refused_if_the_policy_says_so(lab):
    mojo = BY_NAME["word2vec"]
    policy = Configuration(unknown_category=Policy.REFUSE)

    lab.load(mojo.load(configuration=policy))
    answers, _ = lab.score([mojo.request({"word": text}) for text in ("the fox", "unicorn", "a unicorn")])

    assert [isinstance(answer, bytes) for answer in answers] == [True, False, True]
    assert answers[1].message == "row 0: the model knows none of the words of 'unicorn'"
