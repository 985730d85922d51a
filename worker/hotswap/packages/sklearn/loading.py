"""Loads an estimator from its file: a pickle, joblib's, or skops'. A pickle runs code: only in the sandbox."""

import warnings
import zipfile
from collections.abc import Collection
from typing import Any

import joblib
import sklearn
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.validation import check_is_fitted

from hotswap.errors import SwapCode, SwapError

_ENVIRONMENT = "pass --python with the Python of an environment that has it beside skl2onnx"


def load(path: str, trusts_types: Collection[str]) -> Any:
    """Return the fitted estimator of a file; of a search, the best one.

    Raises SwapError: MODEL_INVALID if it cannot be loaded, or is no fitted estimator; MODEL_UNSUPPORTED if another
    version of scikit-learn wrote it, or skops' file has types that are not trusted.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = _load_skops(path, trusts_types) if zipfile.is_zipfile(path) else joblib.load(path)
        except SwapError:
            raise
        except ModuleNotFoundError as error:
            raise _invalid(
                f"it needs the module `{error.name}`, which is not installed here: {_ENVIRONMENT}"
            ) from error
        except AttributeError as error:
            raise _invalid(
                f"{error}: a class or function of your own is not in the file. Put it into a module, train with that, "
                f"and {_ENVIRONMENT}"
            ) from error
        except Exception as error:  # anything at all: the file decides what runs
            raise _invalid(
                f"{type(error).__name__}: {error} (in the sandbox it reaches no network and no files)"
            ) from error
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            _check_version(warning.message.original_sklearn_version)
    if isinstance(model, BaseSearchCV):
        model = getattr(model, "best_estimator_", model)
    if not isinstance(model, BaseEstimator):
        raise _invalid(f"it holds {type(model).__name__}, not an estimator of scikit-learn: save the estimator alone")
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise _invalid(f"{error}") from error
    return model


def _load_skops(path: str, trusts_types: Collection[str]) -> Any:
    from skops.io import get_untrusted_types  # noqa: PLC0415 - the environment of a user may lack it
    from skops.io import load as load_skops  # noqa: PLC0415

    if unknown := sorted(set(get_untrusted_types(file=path)) - set(trusts_types)):
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"the model has types that skops does not trust: {', '.join(unknown)}. If you trust them, pass "
            f"--trust-types {','.join(unknown)}",
        )
    return load_skops(path, trusted=list(trusts_types))


def _check_version(wrote: str) -> None:
    if wrote.split(".")[:2] != sklearn.__version__.split(".")[:2]:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"scikit-learn {wrote} wrote the model, and {sklearn.__version__} would convert it, which may read it "
            f"wrongly: pass --python with the Python of an environment that has scikit-learn {wrote} beside skl2onnx",
        )


def _invalid(why: str) -> SwapError:
    return SwapError(SwapCode.MODEL_INVALID, f"the model cannot be loaded: {why}")
