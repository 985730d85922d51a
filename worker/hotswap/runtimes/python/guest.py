"""The process of a Python model: loads its model.py, and calls its functions with the columns of a batch.

    python -I -B -S guest.py CONNECTION

The files of ours in that process are this one and guest_model.py, or flavors.py for a folder of MLflow. They need
nothing but Python's library (3.10 or newer), and use NumPy where the model's environment has it. CONNECTION is the
descriptor of a socket to the model host (calls.py), which shut this process in before its interpreter began. A frame,
in both directions: the lengths of a head and a body (u32 each), the head (JSON), the body, whose buffers have the
lengths of the head's `sizes`. Numbers are little-endian.

    to the guest    {"folder", "site", "mlflow"}: load the model there, with the packages in `site`; `mlflow` is null
                    or what flavors.py takes
                    {"ticket", "call", "rows", "columns": [[name, type]], "answers": [[name, type]]}; without answers
                    to be told which there are
    from it         {"operations", "versions"}, or {"error"}
                    {"ticket"} with a buffer or more for each answer, or {"ticket", "answers"}, or {"ticket", "error"}

The buffers of a column, by its type, and its values in Python, an array of NumPy or a list:

    number   f64 for each row                              float; NaN is missing
    whole    i64 for each row                              int
    flag     u8 for each row                               bool
    text     i32 for each row, the characters, -1 for none; all of them, in UTF-8       str or None
    numbers  i32 for each row, how many, -1 for none; f64 for each                      list of float, or None
    wholes   the same with i64                             list of int, or None
    texts    i32 for each row, how many, -1 for none; those of a `text`                 list of str, or None
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib.util
import itertools
import json
import os
import pathlib
import site
import struct
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Fields = Sequence[tuple[str, str]]
"""The names of columns or answers, each with its type."""

_LENGTHS = struct.Struct("<II")
_MAX_ERROR = 2_000
_SHOWN = 60
_CODES = {"number": "d", "whole": "q", "flag": "B", "numbers": "d", "wholes": "q"}
_DTYPES = {"d": "<f8", "q": "<i8", "B": "u1"}
_KINDS = {"number": "fiub", "whole": "iub", "flag": "b", "numbers": "fiub", "wholes": "iub"}
_MOST_WHOLE = (1 << 63) - 1
_CALLED = {"number": "a number", "whole": "a whole number of 64 bits", "flag": "True or False", "text": "a text"}
_OF_LISTS = {"numbers": "number", "wholes": "whole", "texts": "text"}


def _beside(name: str) -> Any:
    """Import a file beside this one, whose folder is no place for a model to look for modules."""
    spec = importlib.util.spec_from_file_location(f"hotswap_{name}", pathlib.Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODEL = _beside("guest_model")


class WrongAnswerError(Exception):
    """A function did not return what it was asked for."""


# ---- frames


def receive(connection: int) -> tuple[dict[str, Any], memoryview]:
    """Wait for a frame. Raises EOFError once the host is gone."""
    head, body = _LENGTHS.unpack(_read(connection, _LENGTHS.size))
    return json.loads(bytes(_read(connection, head))), _read(connection, body)


def send(connection: int, head: Mapping[str, Any], buffers: Iterable[Any] = ()) -> None:
    """Send a frame."""
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    text = json.dumps({**head, "sizes": list(map(len, views))}).encode()
    for view in (memoryview(_LENGTHS.pack(len(text), sum(map(len, views))) + text), *views):
        sent = 0
        while sent < len(view):
            sent += os.write(connection, view[sent:])


def _read(connection: int, size: int) -> memoryview:
    # In memory of its own: a model may keep the arrays that lie in it.
    whole, filled = memoryview(bytearray(size)), 0
    while filled < size:
        count = os.readv(connection, [whole[filled:]])
        if not count:
            raise EOFError
        filled += count
    return whole


def _numpy() -> Any:
    """Return NumPy if this environment has it."""
    if "numpy" not in sys.modules and importlib.util.find_spec("numpy") is None:
        return None
    return importlib.import_module("numpy")


# ---- from columns to values


class Buffers:
    """The buffers of a body, taken one after the other."""

    def __init__(self, body: memoryview, sizes: Sequence[int]) -> None:
        ends = list(itertools.accumulate(sizes))
        self._parts = iter([body[end - size : end] for end, size in zip(ends, sizes)])  # noqa: B905 - of Python 3.10

    def values(self, kind: str) -> Any:
        """Return the values of a column of this type."""
        if kind in ("number", "whole", "flag"):
            return self._scalars(_CODES[kind])
        counts = self._list("i")
        if kind == "text":
            return _cut(str(next(self._parts), "utf-8"), counts)
        if kind == "texts":
            return _cut(self.values("text"), counts)
        return _cut(self._list(_CODES[kind]), counts)

    def _list(self, code: str) -> list[Any]:
        numbers = array.array(code)
        numbers.frombytes(next(self._parts))
        return numbers.tolist()

    def _scalars(self, code: str) -> Any:
        if numpy := _numpy():
            return numpy.frombuffer(next(self._parts), bool if code == "B" else numpy.dtype(code))
        return list(map(bool, self._list(code))) if code == "B" else self._list(code)


def _cut(whole: Any, counts: Sequence[int]) -> list[Any]:
    """Cut a sequence into pieces of these lengths; -1 gives None."""
    missing = [place for place, count in enumerate(counts) if count < 0] if counts and min(counts) < 0 else []
    ends = list(itertools.accumulate([max(count, 0) for count in counts] if missing else counts))
    pieces = list(map(whole.__getitem__, map(slice, itertools.chain([0], ends), ends)))
    for place in missing:
        pieces[place] = None
    return pieces


# ---- from values to answers


def buffers_of(name: str, kind: str, values: Any, rows: int) -> list[Any]:
    """Return the buffers of an answer. Raises WrongAnswerError."""
    values = _plain(name, values, kind)
    if len(values) != rows:
        raise WrongAnswerError(f"`{name}` has {len(values):,} values for {rows:,} rows")
    if kind == "text":
        return _text_buffers(name, values)
    if kind not in _OF_LISTS:
        return [_packed(name, kind, values)]
    if not isinstance(values, list):  # a matrix
        return [array.array("i", [values.shape[1]]) * rows, _packed(name, kind, values.reshape(-1))]
    of_rows = [None if row is None else _plain(f"{name}[{place}]", row, kind) for place, row in enumerate(values)]
    counts = array.array("i", [-1 if row is None else len(row) for row in of_rows])
    flat = list(itertools.chain.from_iterable(row for row in of_rows if row is not None))
    return [counts, *(_text_buffers(name, flat) if kind == "texts" else [_packed(name, _OF_LISTS[kind], flat)])]


def _plain(name: str, values: Any, kind: str) -> Any:
    """Return an array of NumPy whose numbers are of a kind that fits, or else a list. Raises WrongAnswerError."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise WrongAnswerError(f"`{name}` is {_shown(values)}, not an array or a list with a value for each row")
    if isinstance(values, (list, tuple)):
        return list(values)
    numpy = _numpy()
    if numpy is None or not hasattr(values, "__array__"):
        return list(values)
    whole = numpy.asarray(values)
    if whole.ndim > 1 and kind not in _OF_LISTS:
        whole = whole.reshape(len(whole), -1)
        if whole.shape[1] != 1:
            raise WrongAnswerError(f"`{name}` has {whole.shape[1]:,} values for each row, not one")
        whole = whole[:, 0]
    is_matrix = whole.ndim == 2  # noqa: PLR2004 - rows x numbers
    if whole.dtype.kind in _KINDS.get(kind, "") and (is_matrix or kind not in _OF_LISTS):
        return whole
    return whole.tolist()


def _packed(name: str, kind: str, values: Any) -> Any:
    """Return numbers as one buffer. Raises WrongAnswerError, with the first value that is none."""
    code = _CODES[kind]
    if not isinstance(values, list):
        if code != "q" or values.dtype.kind != "u" or not len(values) or int(values.max()) <= _MOST_WHOLE:
            return values.astype(_DTYPES[code], copy=False).tobytes()
        values = values.tolist()
    try:
        if code != "B":
            return array.array(code, values)
    except (TypeError, ValueError, OverflowError):
        pass  # one of them has to be converted, or is refused
    return array.array(code, [_number(name, kind, row, value) for row, value in enumerate(values)])


def _number(name: str, kind: str, row: int, value: Any) -> Any:
    """Return a value that array.array does not take as it is. Raises WrongAnswerError."""
    code = _CODES[kind]
    try:
        if code == "d":
            return float("nan") if value is None else array.array(code, [value])[0]
        if not isinstance(value, (str, bytes)) and value == int(value) and (code == "q" or int(value) in (0, 1)):
            return array.array(code, [int(value)])[0]
    except (TypeError, ValueError, OverflowError):
        pass
    raise WrongAnswerError(f"`{name}`, row {row}: {_shown(value)} is not {_CALLED[_OF_LISTS.get(kind, kind)]}")


def _text_buffers(name: str, values: Any) -> list[Any]:
    texts = values if isinstance(values, list) else values.tolist()
    try:
        return [array.array("i", map(len, texts)), "".join(texts).encode()]
    except (TypeError, UnicodeEncodeError):
        texts = [_text(name, row, text) for row, text in enumerate(texts)]
    counts = array.array("i", [-1 if text is None else len(text) for text in texts])
    return [counts, "".join(filter(None, texts)).encode()]


def _text(name: str, row: int, value: Any) -> str | None:
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - pandas has NaN for no text
        return None
    if not isinstance(value, str):
        raise WrongAnswerError(f"`{name}`, row {row}: {_shown(value)} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise WrongAnswerError(f"`{name}`, row {row}: {_shown(value)} is no text in Unicode ({error.reason})") from None
    return value


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - of the model's own types; or a whole number with more digits than Python writes
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# ---- calls


def _called(model: Any, order: Mapping[str, Any], body: memoryview) -> Any:
    buffers = Buffers(body, order["sizes"])
    return model.call(order["call"], {name: buffers.values(kind) for name, kind in order["columns"]})


def _answer(result: Any, order: Mapping[str, Any]) -> list[Any]:
    """Return the buffers of the answers that a function was asked for. Raises WrongAnswerError."""
    rows, names = order["rows"], [name for name, _ in order["answers"]]
    if len(names) > 1 and getattr(result, "shape", None) == (rows, len(names)) and not hasattr(result, "keys"):
        result = dict(zip(names, result.T))  # noqa: B905 - of Python 3.10. A matrix: a column for each
    if not (hasattr(result, "keys") and hasattr(result, "__getitem__")):
        if len(names) != 1:
            wanted = ", ".join(f"`{name}`" for name in names)
            raise WrongAnswerError(f"it returned {_shown(result)}, not a dict with {wanted}")
        result = {names[0]: result}
    answers: list[Any] = []
    for name, kind in order["answers"]:
        if name not in result:
            known = ", ".join(f"`{_shown(key)[1:-1]}`" for key in itertools.islice(result.keys(), 10)) or "nothing"
            raise WrongAnswerError(f"it returned no `{name}`, but {known}")
        answers += buffers_of(name, kind, result[name], rows)
    return answers


def _explained(error: BaseException, where: str) -> str:
    """Return what a function raised, and where in its folder."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - of the model's own type
        text = ""
    kind = "" if isinstance(error, WrongAnswerError) else f"{type(error).__name__}{': ' if text else ''}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(where)]
    place = f" ({pathlib.Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{kind}{text[:_MAX_ERROR]}{place}".encode(errors="replace").decode()


def main() -> None:
    """Serve until the host closes the connection."""
    connection = int(sys.argv[1])
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.open("/proc/self", os.O_PATH)  # stays open, so that it stays readable (host/landlock.py)
    order, _ = receive(connection)
    folder = pathlib.Path(order["folder"])
    try:
        if order["site"]:
            site.addsitedir(order["site"])
        mlflow = order["mlflow"]
        model = _beside("flavors").MlflowModel(folder, mlflow) if mlflow else MODEL.FunctionModel(folder)
        numpy = _numpy()
        versions = f"Python {sys.version.split()[0]}" + (f", numpy {numpy.__version__}" if numpy else "")
        versions += getattr(model, "versions", "")
        loaded = {"operations": model.describe(), "versions": versions}
    except BaseException as error:  # noqa: BLE001 - SystemExit, too: the host says why the model was not loaded
        send(connection, {"error": _explained(error, order["folder"])})
        return
    gc.collect()
    gc.freeze()  # what is loaded stays: spare the collector from walking it in the middle of a batch
    send(connection, loaded)
    while True:
        order, body = receive(connection)
        try:
            result = _called(model, order, body)
            told = {} if order["answers"] else {"answers": MODEL.told(result)}
            answers = _answer(result, order) if order["answers"] else []
        except BaseException as error:  # noqa: BLE001 - the same: of one batch
            send(connection, {"ticket": order["ticket"], "error": _explained(error, str(folder))})
            continue
        send(connection, {"ticket": order["ticket"], **told}, answers)


if __name__ == "__main__":
    try:
        main()
    except EOFError:
        pass
    finally:
        os._exit(0)  # threads of the model may go on
