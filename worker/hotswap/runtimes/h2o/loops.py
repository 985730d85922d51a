"""Loops over a batch inside the JVM, one call into Java each, built from method handles without compiling Java source.

A loop is called with the receiver that all of its calls share and an array for each of their arguments or results:
`loop(model, rows, outputs)` calls `model.score0(rows[i], outputs[i])` for each i.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jpype
import numpy as np

from hotswap.codec.values import Matrix

Loop: TypeAlias = Callable[..., None]


def score_loop(*, has_offset: bool) -> Loop:
    """Return loop(GenModel, double[][] rows[, double[] offsets], double[][] outputs)."""
    row = _array("JDouble")
    taken = [row, _primitive("Double"), row] if has_offset else [row, row]
    return _loop(_method("hex.genmodel.GenModel", "score0", row, taken))


def seeded_score_loop(seed: int) -> Loop:
    """Return loop(GlrmMojoModel, double[][] rows, double[][] outputs), in which every row starts from the same seed."""
    row = _array("JDouble")
    score = _method("hex.genmodel.algos.glrm.GlrmMojoModel", "score0", row, [row, row, _primitive("Long")])
    return _loop(_handles().insertArguments(score, 3, [jpype.JLong(seed)]))


def distance_loop() -> Loop:
    """Return loop(IClusteringModel, double[][] rows, double[][] distances, int[] clusters)."""
    row = _array("JDouble")
    return _keeping_loop(_method("hex.genmodel.IClusteringModel", "distances", _primitive("Integer"), [row, row]))


def calibration_loop() -> Loop:
    """Return loop(GenModel, double[][] outputs), which calibrates the probabilities in place."""
    row = _array("JDouble")
    return _loop(_method("hex.genmodel.GenModel", "calibrateClassProbabilities", _primitive("Boolean"), [row]))


def embedding_loop() -> Loop:
    """Return loop(WordEmbeddingModel, String[] words, float[][] embeddings); unknown words leave theirs unchanged."""
    taken = [jpype.JClass("java.lang.String").class_, _array("JFloat")]
    model = "hex.genmodel.algos.word2vec.WordEmbeddingModel"
    return _loop(_method(model, "transform0", _array("JFloat"), taken))


def contribution_loop() -> Loop:
    """Return loop(PredictContributions, double[][] rows, float[][] contributions), which stores new arrays there."""
    row = _array("JDouble")
    return _keeping_loop(
        _method("hex.genmodel.PredictContributions", "calculateContributions", _array("JFloat"), [row])
    )


def java_rows(matrix: Matrix) -> Any:
    """Copy a matrix to a new double[][]: some models overwrite the rows that they score."""
    return jpype.JArray.of(np.ascontiguousarray(matrix, np.float64))


def _loop(call: Any) -> Loop:
    """Return loop(receiver, array, …) for a handle call(receiver, value, …); results are discarded."""
    by_index, receiver, arrays = _by_index(call, 1)
    places = [place for number in range(len(arrays)) for place in (number + 2, 0)]
    return _counted(by_index, [receiver, *arrays], [1, *places])


def _keeping_loop(call: Any) -> Loop:
    """Return loop(receiver, array, …, results) for a handle call(receiver, value, …)."""
    results = _array_of(call.type().returnType())
    keep = _handles().collectArguments(_handles().arrayElementSetter(results), 2, call)
    by_index, receiver, arrays = _by_index(keep, 3)
    places = [place for number in range(len(arrays)) for place in (number + 2, 0)]
    return _counted(by_index, [receiver, *arrays, results], [len(arrays) + 2, 0, 1, *places])


def _by_index(call: Any, first: int) -> tuple[Any, Any, Sequence[Any]]:
    """Replace each argument from `first` on by an array and an index; return handle, receiver and arrays."""
    kinds = list(call.type().parameterList())
    arrays = [_array_of(kind) for kind in kinds[first:]]
    # From last to first, so that the positions of the remaining arguments do not shift.
    for number in reversed(range(len(arrays))):
        call = _handles().collectArguments(call, first + number, _handles().arrayElementGetter(arrays[number]))
    return call, kinds[first - 1], arrays


def _counted(call: Any, parameters: Sequence[Any], places: Sequence[int]) -> Loop:
    """Return the loop of `call`, with its arguments at `places` of (i, *parameters), over the first array's length."""
    handles, method_type = _handles(), jpype.JClass("java.lang.invoke.MethodType").methodType
    void, index = _primitive("Void"), _primitive("Integer")
    call = call.asType(call.type().changeReturnType(void))
    body = handles.permuteArguments(call, method_type(void, _classes([index, *parameters])), *places)
    count = handles.dropArguments(handles.arrayLength(parameters[1]), 0, parameters[0])
    loop = handles.countedLoop(count, None, body)
    invoke: Loop = loop.invokeWithArguments
    return invoke


def _method(owner: str, name: str, gives: Any, takes: Sequence[Any]) -> Any:
    method_type = jpype.JClass("java.lang.invoke.MethodType").methodType
    return _handles().publicLookup().findVirtual(jpype.JClass(owner).class_, name, method_type(gives, _classes(takes)))


def _handles() -> Any:
    return jpype.JClass("java.lang.invoke.MethodHandles")


def _classes(classes: Sequence[Any]) -> Any:
    return jpype.JArray(jpype.JClass("java.lang.Class"))(classes)


def _primitive(box: str) -> Any:
    return jpype.JClass(f"java.lang.{box}").TYPE


def _array(element: str, dimensions: int = 1) -> Any:
    return jpype.JArray(getattr(jpype, element), dimensions).class_


def _array_of(kind: Any) -> Any:
    return jpype.JClass("java.lang.reflect.Array").newInstance(kind, 0).getClass()
