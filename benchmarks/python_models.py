"""The models that Python scores, each with rows: GBMs of 50 trees, the network of Crayfish, and a function.

The GBMs are binary classifiers of depth 5 on 12 numbers. Crayfish (EDBT 2024, doi 10.48786/edbt.2024.58) is a published
benchmark of inference on streams. Its feed-forward network takes images of 28x28, has four layers of 32 with ReLU, and
returns a number for each of 10 classes, 28,618 parameters in all. Its weights here are random: they do not change what
it costs. The function is of kind python: the NumPy of its process is that of a lock, as that of the Python that
measures is, and comes from the index that HOTSWAP_PYTHON_INDEX names.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from gbm import COLUMNS, DEPTH, GBM, SEED, TREES, samples
from kinds import BATCH, PROTO, ROOT, Contender

CRAYFISH = "onnx: Crayfish's network on 28x28"
_PIXELS, _LAYERS = 28 * 28, (32, 32, 32, 32, 10)
_ROW = " ".join(f"double {name} = {number};" for number, name in enumerate(COLUMNS, 1))


def contenders(folder: Path) -> Iterator[Contender]:
    """Yield one for each kind whose library is installed; the models that are made for them are in the folder."""
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in samples()[0][:BATCH].tolist()]
    named, classes = {"columns": ",".join(COLUMNS)}, {"classes": "no,yes"}
    answer = "float no = 1; float yes = 2;"
    title = f"GBM {TREES} x {DEPTH}, {len(COLUMNS)} columns"
    if find_spec("onnxruntime"):
        yield Contender(f"onnx: {title}", "onnx", GBM, PROTO.format(row=_ROW, answer=answer).encode(), rows, named)
        yield _crayfish(folder / "crayfish.onnx")
    proto = PROTO.format(row=_ROW, answer="double no = 1; double yes = 2;").encode()
    name = f"python: a logistic function of {len(COLUMNS)} columns in NumPy"
    yield Contender(name, "python", _function(folder / "function"), proto, rows)
    proto = PROTO.format(row=_ROW, answer="double yes = 1;").encode()
    for kind, train in {"xgboost": _xgboost, "lightgbm": _lightgbm}.items():
        if find_spec(kind):
            yield Contender(f"{kind}: {title}", kind, train(folder), proto, rows, classes)


def _function(folder: Path) -> Path:
    """Write a model of kind python, with the lock of what it imports."""
    folder.mkdir()
    weights = dict(zip(COLUMNS, np.random.default_rng(SEED).normal(size=len(COLUMNS)).tolist(), strict=True))
    source = f"""import numpy as np

WEIGHTS = {weights}


def predict(model, columns):
    yes = 1 / (1 + np.exp(-sum(weight * columns[name] for name, weight in WEIGHTS.items())))
    return {{"no": 1 - yes, "yes": yes}}
"""
    (folder / "model.py").write_text(source, encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^numpy==.*\n(?: +--hash=.*\n)+", lock, re.MULTILINE)
    (folder / "requirements.txt").write_text("".join(entries), encoding="utf-8")
    return folder


def _xgboost(folder: Path) -> Path:
    import xgboost  # noqa: PLC0415 - of an extra

    matrix, is_yes = samples()
    given = {"objective": "binary:logistic", "max_depth": DEPTH, "seed": SEED, "nthread": 1}
    booster = xgboost.train(given, xgboost.DMatrix(matrix, is_yes, feature_names=COLUMNS), TREES)
    booster.save_model(folder / "gbm_50x5.ubj")
    return folder / "gbm_50x5.ubj"


def _lightgbm(folder: Path) -> Path:
    import lightgbm  # noqa: PLC0415 - of an extra

    matrix, is_yes = samples()
    given = {"objective": "binary", "max_depth": DEPTH, "num_leaves": 2**DEPTH, "num_threads": 1, "verbose": -1}
    booster = lightgbm.train(given, lightgbm.Dataset(matrix, is_yes, feature_name=COLUMNS), TREES)
    booster.save_model(folder / "gbm_50x5.txt")
    return folder / "gbm_50x5.txt"


def _crayfish(path: Path) -> Contender:
    """Write the network, and draw images for it."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - of an extra

    draw, nodes, weights, last, width = np.random.default_rng(SEED), [], [], "image", _PIXELS
    for number, size in enumerate(_LAYERS):
        given = {f"w{number}": draw.normal(0, (2 / width) ** 0.5, (width, size)), f"b{number}": draw.normal(size=size)}
        weights += [numpy_helper.from_array(value.astype(np.float32), name) for name, value in given.items()]
        is_last = number == len(_LAYERS) - 1
        output = "output" if is_last else f"layer{number}"
        nodes.append(helper.make_node("Gemm", [last, *given], [output]))
        if not is_last:
            nodes.append(helper.make_node("Relu", [output], [f"{output}_relu"]))
        last, width = f"{output}_relu", size
    images, scores = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("image", _PIXELS), ("output", _LAYERS[-1]))
    )
    graph = helper.make_graph(nodes, "crayfish", [images], [scores], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    rows = [{"image": row} for row in draw.random((BATCH, _PIXELS), np.float32).tolist()]
    proto = PROTO.format(row="repeated float image = 1;", answer="repeated float output = 1;")
    return Contender(CRAYFISH, "onnx", path, proto.encode(), rows)
