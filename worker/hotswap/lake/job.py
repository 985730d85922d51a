"""Scoring of a lake's files: a Spark job for each partition of the output.

A partition is done once its folder has a `_SUCCESS`, which Spark writes last: it commits the output of exactly one
attempt of each task. A partition that is not done is scored again as a whole, and its folder replaced.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import StringType, StructField, StructType

from hotswap.errors import HotswapError, UsageError
from hotswap.lake.answers import CODE, AnswerDecoder
from hotswap.lake.fit import check_columns
from hotswap.lake.hosting import Score
from hotswap.lake.origin import ScoringSpec
from hotswap.lake.plan import PARTITION, BatchPlan, File, Origin, begin, check_exist, resume
from hotswap.lake.requests import RAW
from hotswap.lake.storage import Storage, format_of

_PARALLEL_JOBS: Final = 4  # jobs: the tasks of the next fill the cores that the last tasks of one leave
_REPORT_S: Final = 1.0
_MANIFEST: Final = "_hotswap.json"
_REASON: Final = re.compile(r"^(?:[a-z_][\w.]*\.)?([A-Z]\w+): (.+)$", re.MULTILINE)


class BatchFailed(HotswapError):
    """A job failed: correct the cause and run the command again; finished partitions stay."""


@dataclass(slots=True)
class BatchProgress:
    """The progress of a batch: partitions and rows, including those of an earlier run (`kept`), and Spark's tasks."""

    partitions: int
    kept: int = 0
    done: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Rows by refusal code; "": answered."""
    has_grown: bool = False
    """Whether a partition has finished since the last report."""
    tasks: int = 0
    """Finished tasks of the running jobs."""
    of_tasks: int = 0


class BatchRun:
    """A run that scores the rows of an input into an output."""

    def __init__(self, spark: SparkSession, source: str, output: str) -> None:
        """List the input. Raises UsageError if it is missing or unreadable."""
        self._spark = spark
        self._output = output.rstrip("/")
        self._storage = Storage(spark)
        self._files, is_folder = self._storage.list(source)
        self._format = format_of(self._files)
        self._options = {"basePath": source} if is_folder else {}
        self._schema: StructType | None = None

    def check(self, spec: ScoringSpec, reads: Mapping[str, Collection[str]], *, may_lack: bool) -> list[str]:
        """Check the columns and return notes for the user, as fit.check_columns does."""
        operation = spec.schema().operations[spec.operation]
        self._schema = self._find_schema(spec)
        arrow = to_arrow_schema(self._schema)
        notes = check_columns(operation, arrow, reads, spec.table(), may_lack=may_lack)
        own = [part for part in arrow if part.name != RAW]
        decoder = AnswerDecoder(operation, spec.generation, spec.digest)
        self._scored = from_arrow_schema(pa.schema([*own, *decoder.fields]))
        return notes

    def plan(self, origin: Origin) -> BatchPlan:
        """Return the files of each partition, and record them in the output.

        Raises:
            UsageError: the output exists and has another origin or other input.

        """
        place = f"{self._output}/{_MANIFEST}"
        kept = self._storage.read(place)
        if kept is None:
            if self._storage.exists(self._output):
                raise UsageError(
                    f"{self._output} exists, and is not an output of `hotswap batch`: name another --output"
                )
            plan = begin(origin, self._files)
        else:
            try:
                plan = resume(BatchPlan.of_json(kept), origin, self._files, self._output)
            except ValueError as error:
                raise UsageError(f"{place} is damaged: remove {self._output}, or name another --output") from error
        self._storage.write(place, plan.to_json())
        return plan

    def run(self, plan: BatchPlan, spec: ScoringSpec) -> Iterator[BatchProgress]:
        """Score the missing partitions, some in parallel; yield the progress every second.

        Raises:
            BatchFailed: a job failed; the others are cancelled.
            UsageError: an input file is gone.

        """
        progress = BatchProgress(len(plan.partitions))
        missing = [number for number in range(len(plan.partitions)) if not self._is_done(number)]
        now = {file.path: file for file in self._files}
        for number in missing:
            check_exist(plan.partitions[number], now)
        progress.kept = len(plan.partitions) - len(missing)
        with ThreadPoolExecutor(_PARALLEL_JOBS, initializer=self._activate) as pool:
            jobs = {pool.submit(self._count, number) for number in set(range(len(plan.partitions))) - set(missing)}
            jobs |= {pool.submit(self._score, number, plan.partitions[number], spec) for number in missing}
            try:
                yield from self._follow(jobs, progress)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                self._spark.sparkContext.cancelAllJobs()

    def _follow(self, jobs: set[Future[Mapping[str, int]]], progress: BatchProgress) -> Iterator[BatchProgress]:
        while jobs:
            done, jobs = wait(jobs, _REPORT_S, FIRST_COMPLETED)
            progress.has_grown = bool(done)
            for job in done:
                progress.rows.update(job.result())
                progress.done += 1
            progress.tasks, progress.of_tasks = self._tasks()
            yield progress

    def _tasks(self) -> tuple[int, int]:
        tracker = self._spark.sparkContext.statusTracker()
        stages = [stage for number in tracker.getActiveStageIds() if (stage := tracker.getStageInfo(number))]
        return sum(stage.numCompletedTasks for stage in stages), sum(stage.numTasks for stage in stages)

    def _activate(self) -> None:
        """Activate the session in this thread: without its settings Spark would resolve `Age` as `age`."""
        spark: Any = self._spark
        session = spark._get_j_spark_session_class(spark._jvm)  # noqa: SLF001 - PySpark offers no other way
        session.setActiveSession(spark._jsparkSession)  # noqa: SLF001 - the same

    def _folder(self, number: int) -> str:
        return f"{self._output}/{PARTITION}={number:05d}"

    def _is_done(self, number: int) -> bool:
        return self._storage.exists(f"{self._folder(number)}/_SUCCESS")

    def _score(self, number: int, files: Sequence[File], spec: ScoringSpec) -> Mapping[str, int]:
        try:
            self._spark.sparkContext.setJobDescription(f"{PARTITION} {number}")
            table = self._read([file.path for file in files], spec)
            # Spark reads the dots of a name as a path: columns travel to executors under numbers.
            plain = table.toDF(*(f"c{place}" for place in range(len(table.columns))))
            scored = plain.mapInArrow(Score(spec, table.columns), self._scored)
            # The older algorithm moves files into place only when the whole job is done.
            scored.write.mode("overwrite").option("mapreduce.fileoutputcommitter.algorithm.version", "1").option(
                "mapreduce.fileoutputcommitter.marksuccessfuljobs", "true"
            ).parquet(self._folder(number))
            return self._count(number)
        except (Py4JError, PySparkException) as error:
            raise BatchFailed(f"partition {number} failed: {_reason(error)}") from error

    def _count(self, number: int) -> Mapping[str, int]:
        counted = self._spark.read.parquet(self._folder(number)).groupBy(CODE).count().collect()
        return {row[0] or "": row[1] for row in counted}

    def _find_schema(self, spec: ScoringSpec) -> StructType:
        first = [self._files[0].path]
        if self._format == "parquet":
            return self._reader().parquet(*first).schema
        names = self._reader(self._csv(spec)).csv(first).columns
        return StructType([StructField(name, StringType()) for name in (*names, RAW)])

    def _read(self, paths: list[str], spec: ScoringSpec) -> DataFrame:
        assert self._schema is not None
        if self._format == "parquet":
            return self._reader().schema(self._schema).parquet(*paths)
        options = {"columnNameOfCorruptRecord": RAW, "mode": "PERMISSIVE", "enforceSchema": "false"}
        return self._reader({**self._csv(spec), **options}).schema(self._schema).csv(paths)

    def _reader(self, options: Mapping[str, str] | None = None) -> Any:
        return self._spark.read.options(**self._options, **(options or {}))

    def _csv(self, spec: ScoringSpec) -> Mapping[str, str]:
        """Return Spark's options for RFC 4180: a quote is doubled, and a cell may have several lines."""
        delimiter = spec.configuration.text.delimiter
        return {"header": "true", "sep": delimiter, "quote": '"', "escape": '"', "multiLine": "true", "nullValue": ""}


def _reason(error: Exception) -> str:
    """Return the last error raised in Python, or else the first line of Spark's."""
    text = str(getattr(error, "java_exception", None) or error)
    python = text[text.rfind("Traceback (most recent call last)") :] if "Traceback" in text else ""
    matches = _REASON.findall(python)
    return ": ".join(matches[0]) if matches else text.partition("\n")[0].rpartition("most recent failure: ")[2]
