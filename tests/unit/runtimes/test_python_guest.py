"""A guest's values and answers: what a function gets for each type, and what it may return."""

import array
import json
import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotswap.runtimes.python import calls, guest, guest_model


def crossed(kind: str, values: Any) -> Any:
    """Return values as a function gets them."""
    buffers = calls._packed("x", kind, values)
    sizes = [memoryview(buffer).nbytes for buffer in buffers]
    return guest.Buffers(memoryview(bytearray(b"".join(buffers))), sizes).values(kind)


def returned(kind: str, values: Any, rows: int | None = None) -> Any:
    """Return an answer as the host gets it."""
    rows = len(values) if rows is None else rows
    buffers = [bytes(memoryview(buffer).cast("B")) for buffer in guest.buffers_of("x", kind, values, rows)]
    parts = calls._Parts([len(buffer) for buffer in buffers], memoryview(b"".join(buffers)))
    answer = parts.take(kind, rows)
    parts.end()
    return answer.tolist() if isinstance(answer, np.ndarray) else answer


@pytest.fixture(params=["with NumPy", "without NumPy"])
def with_or_without_numpy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without NumPy":
        monkeypatch.setattr(guest, "_numpy", lambda: None)


@pytest.mark.usefixtures("with_or_without_numpy")
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("number", [0.0, -1.5, 1e308, math.inf]),
        ("whole", [0, -(1 << 63), (1 << 63) - 1]),
        ("flag", [True, False]),
        ("text", ["", "Zürich", "🚲 a\0b", None, "x" * 1000]),
        ("text", []),
        ("numbers", [[1.0, 2.0], [], None, [3.0]]),
        ("wholes", [[1, -2], [], [1 << 62]]),
        ("texts", [["a", ""], [], None, ["ü", "🚲"]]),
    ],
)
def test_values_arrive_as_they_were_in_both_directions(kind: str, values: list[Any]) -> None:
    assert list(crossed(kind, values)) == values
    assert returned(kind, values) == values


def test_a_missing_number_is_nan() -> None:
    assert np.isnan(crossed("number", [None, 1.0])).tolist() == [True, False]
    assert math.isnan(returned("number", [None, 1.0])[0])


@pytest.mark.parametrize(
    ("kind", "values", "same_as"),
    [
        ("number", np.array([1, 2], np.int8), [1.0, 2.0]),
        ("number", np.array([[1.5], [2.5]]), [1.5, 2.5]),
        ("number", (1, True), [1.0, 1.0]),
        ("number", range(3), [0.0, 1.0, 2.0]),
        ("number", np.array([1, None], object), [1.0, math.nan]),
        ("whole", np.array([1.0, 2.0]), [1, 2]),
        ("whole", np.array([3], np.uint64), [3]),
        ("flag", np.array([True, False]), [True, False]),
        ("flag", [1, 0], [True, False]),
        ("text", np.array(["a", "b"]), ["a", "b"]),
        ("text", [math.nan, "b"], [None, "b"]),
        ("numbers", np.array([[1.0, 2.0], [3.0, 4.0]]), [[1.0, 2.0], [3.0, 4.0]]),
        ("numbers", [np.array([1, 2]), (3,)], [[1.0, 2.0], [3.0]]),
    ],
)
def test_an_answer_may_be_whatever_holds_its_values(kind: str, values: Any, same_as: list[Any]) -> None:
    np.testing.assert_equal(returned(kind, values), same_as)


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("number", [1.0, "2"], "`x`, row 1: '2' is not a number"),
        ("number", [10**400], "`x`, row 0: 1000"),
        ("number", [10**5000], "`x`, row 0: a int is not a number"),
        ("number", [[1.0, 2.0]], "row 0: [1.0, 2.0] is not a number"),
        ("number", np.zeros((2, 3)), "`x` has 3 values for each row, not one"),
        ("number", {"a": 1.0}, "`x`, row 0: 'a' is not a number"),
        ("whole", [1.5], "`x`, row 0: 1.5 is not a whole number of 64 bits"),
        ("whole", [1 << 63], "is not a whole number of 64 bits"),
        ("whole", np.array([1 << 63], np.uint64), "is not a whole number of 64 bits"),
        ("whole", [None], "`x`, row 0: None is not a whole number"),
        ("flag", [2], "`x`, row 0: 2 is not True or False"),
        ("text", [3], "`x`, row 0: 3 is not a text"),
        ("text", ["a", "\ud800"], "`x`, row 1: '\\ud800' is no text in Unicode"),
        ("text", [b"a"], "`x`, row 0: b'a' is not a text"),
        ("texts", ["ab"], "`x[0]` is 'ab', not an array or a list"),
        ("numbers", [1.0], "`x[0]` is 1.0, not an array or a list"),
    ],
)
def test_another_type_is_told_by_row_and_value(kind: str, values: Any, why: str) -> None:
    with pytest.raises(guest.WrongAnswerError) as refused:
        returned(kind, values)
    assert why in str(refused.value)


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], np.zeros(3), []])
def test_another_length_is_told(values: Any) -> None:
    with pytest.raises(guest.WrongAnswerError, match=r"`x` has \d values for 2 rows"):
        returned("number", values, rows=2)


@pytest.mark.parametrize("values", ["ab", b"ab", iter([1.0, 2.0]), (value for value in (1.0, 2.0)), 3.0, None])
def test_what_is_no_column_is_told(values: Any) -> None:
    with pytest.raises(guest.WrongAnswerError, match="not an array or a list with a value for each row"):
        returned("number", values, rows=2)


@pytest.mark.parametrize(
    ("sizes", "body", "why"),
    [
        (None, b"", "it has no lengths"),
        ([-8, 16], bytes(8), "it has no lengths"),
        ([16], bytes(8), "its buffers have 16 bytes, and its body 8"),
        ([8], bytes(8), "a buffer for 2 values has 8 bytes"),
        ([], b"", "a buffer is missing"),
        ([16, 0], bytes(16), "more buffers than answers"),
    ],
)
def test_a_host_takes_no_buffers_that_do_not_fit(sizes: Any, body: bytes, why: str) -> None:
    def take() -> None:
        parts = calls._Parts(sizes, memoryview(body))
        parts.take("number", 2)
        parts.end()

    with pytest.raises(calls._BrokenProtocol, match=why):
        take()


@pytest.mark.parametrize(
    ("counts", "text", "why"),
    [
        ([1, 2], b"abcd", "the lengths of its texts are not theirs"),
        ([-2, 3], b"a", "a length is negative"),
        ([1, 1], b"\xff\xfe", "codec can't decode"),
    ],
)
def test_a_host_takes_no_texts_that_do_not_fit(counts: list[int], text: bytes, why: str) -> None:
    body = array.array("i", counts).tobytes() + text
    with pytest.raises((calls._BrokenProtocol, ValueError), match=why):
        calls._Parts([8, len(text)], memoryview(body)).take("text", 2)


# ---- the process


def test_a_frame_larger_than_a_pipe_arrives_whole() -> None:
    reader, writer = os.pipe()
    content = bytes(range(256)) * 4096
    sender = threading.Thread(target=guest.send, args=(writer, {"a": "ü"}, [content, b"x"]))
    sender.start()

    head, body = guest.receive(reader)

    sender.join()
    assert head == {"a": "ü", "sizes": [len(content), 1]}
    assert bytes(body) == content + b"x"
    os.close(writer)
    with pytest.raises(EOFError):
        guest.receive(reader)
    os.close(reader)


def functions(tmp_path: Path, source: str) -> guest_model.FunctionModel:
    (tmp_path / "model.py").write_text(source)
    return guest_model.FunctionModel(tmp_path)


def test_operations_are_predict_and_those_that_take_a_model(tmp_path: Path) -> None:
    model = functions(
        tmp_path,
        "import json\nfrom json import dumps\n"
        "def load(folder): return folder.name\n"
        "def predict(m, columns): return m\n"
        "def explain(model, columns): return 1\n"
        "def helper(columns): ...\n"
        "def _hidden(model, columns): ...\n",
    )

    assert list(model.operations) == ["predict", "explain"]
    assert model.call("predict", {}) == tmp_path.name


def test_type_hints_tell_the_columns(tmp_path: Path) -> None:
    model = functions(
        tmp_path,
        "from typing import *\n"
        "Row = TypedDict('Row', {'a': float, 'b': Optional[int], 'c': bool, 'd': str, 'e': list[float]})\n"
        "class Answer(TypedDict):\n  p: 'float'\n  words: List[str]\n"
        "def predict(model: Any, columns: Row) -> Answer: ...\n"
        "def plain(model, columns): ...\n"
        "def odd(model, columns: dict) -> int: ...\n",
    )

    assert json.loads(json.dumps(model.describe())) == {
        "predict": [
            [
                ["a", "number", False],
                ["b", "whole", True],
                ["c", "flag", False],
                ["d", "text", False],
                ["e", "numbers", False],
            ],
            [["p", "number", False], ["words", "texts", False]],
        ],
        "plain": [None, None],
        "odd": [None, None],
    }


def test_a_failure_is_told_with_its_line(tmp_path: Path) -> None:
    model = functions(tmp_path, "def predict(model, columns):\n    return {'p': 1 / 0}\n")

    try:
        model.call("predict", {})
    except ZeroDivisionError as error:
        told = guest._explained(error, str(tmp_path))

    assert told == "ZeroDivisionError: division by zero (model.py, line 2)"
