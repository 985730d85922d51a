"""A saved Spark model on disk, inspected without Spark: its folder, and the classes that loading would instantiate."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hotswap.errors import SwapCode, SwapError

_PYTHON_PIPELINE: Final = "pyspark.ml.pipeline.PipelineModel"
_OWN: Final = "org.apache.spark.ml."
_INSIDE: Final = "org.apache.spark.mllib.clustering."  # BisectingKMeans and LDA keep such a model inside theirs


def find_top(path: Path) -> Path:
    """Return the folder that Spark wrote: the artifact, or its only subfolder. Raises SwapError MODEL_INVALID."""
    inner = [entry for entry in path.iterdir() if entry.is_dir()] if path.is_dir() else []
    folders = [path, *inner] if len(inner) == 1 else [path]
    if models := [folder for folder in folders if (folder / "metadata").is_dir()]:
        return models[0]
    raise SwapError(
        SwapCode.MODEL_INVALID,
        "the artifact is not a saved Spark model: it has no folder `metadata` at its top or one level down; zip the "
        "folder that model.write().save(…) created",
    )


def check_classes(top: Path, allowed: Sequence[str] = ()) -> None:
    """Refuse a model that names any class but Spark's own and those prefixed by one of `allowed`: loading would run it.

    Raises SwapError: MODEL_INVALID if its metadata cannot be read, MODEL_UNSUPPORTED for such a class.
    """
    prefixes = (_OWN, _INSIDE, *allowed)
    for file in _metadata(top, "**/metadata/*"):
        for name in _classes(_read(file, top)):
            if name != _PYTHON_PIPELINE and not name.startswith(prefixes):
                raise SwapError(
                    SwapCode.MODEL_UNSUPPORTED,
                    f"the model names the class {name} (in {file.parent.relative_to(top)}), but only classes of {_OWN} "
                    "are loaded; if you trust it, add its prefix to configuration.runtime `allow`",
                )


def stage_folders(top: Path) -> Sequence[tuple[str, Path]]:
    """Return the class and the folder of everything that Spark has to load, in order.

    This is the model as a whole; but if PySpark's own writer saved a pipeline (as it does if a stage is written in
    Python), the stages one by one: Java has no class for that pipeline.
    """
    metadata = next((content for file in _metadata(top, "metadata/*") if (content := _read(file, top))), {})
    name = str(metadata.get("class", ""))
    if name != _PYTHON_PIPELINE:
        return [(name, top)]
    # Sorted by number: a stage's uid may occur twice.
    folders = sorted((top / "stages").glob("*_*"), key=_number)
    return [stage for folder in folders for stage in stage_folders(folder)]


def _number(folder: Path) -> int:
    number = folder.name.partition("_")[0]
    return int(number) if number.isdigit() else -1


def _metadata(top: Path, pattern: str) -> list[Path]:
    # Spark reads a file here whatever its name, unless it begins with one of these.
    return sorted(file for file in top.glob(pattern) if not file.name.startswith(("_", ".")))


def _read(file: Path, top: Path) -> Mapping[str, Any]:
    try:
        text = file.read_text(encoding="utf-8").strip()
        content = json.loads(text) if text else {}
    except (OSError, ValueError, RecursionError) as error:
        where = file.relative_to(top)
        raise SwapError(
            SwapCode.MODEL_INVALID, f"the artifact is not a saved Spark model: {where} cannot be read: {error}"
        ) from error
    if not isinstance(content, dict):
        raise SwapError(
            SwapCode.MODEL_INVALID,
            f"the artifact is not a saved Spark model: {file.relative_to(top)} is not a JSON object",
        )
    return content


def _classes(content: Any) -> Iterator[str]:
    """Yield every class that the JSON names, at any depth."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key == "class" and isinstance(value, str):
                yield value
            else:
                yield from _classes(value)
    elif isinstance(content, list):
        for value in content:
            yield from _classes(value)
