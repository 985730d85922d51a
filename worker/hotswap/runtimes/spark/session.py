"""A Spark session in a model host: one thread, no cluster, and it listens on the loopback interface only."""

import textwrap
from functools import cache
from pathlib import Path
from typing import Any, Final

import jpype

_SETTINGS: Final = {
    "spark.master": "local[1]",
    "spark.app.name": "hotswap",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Spark remembers finished work for its UI, which is off: keep as little of it as possible.
    "spark.ui.retainedJobs": "1",
    "spark.ui.retainedStages": "1",
    "spark.ui.retainedTasks": "1",
    "spark.sql.ui.retainedExecutions": "1",
    # We compile the scoring of single rows ourselves; compiling the few jobs of a load would only take longer.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.default.parallelism": "1",
    "spark.sql.catalogImplementation": "in-memory",
}
_LONGEST: Final = 1_000  # characters of a reason
_JAVA: Final = 8  # the newest class version that Janino writes; any newer Java runs it
_LOGGING: Final = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %p %c{1}: %m%n%ex
"""


@cache
def session() -> Any:
    """Return this process's session; the first call starts it, which takes seconds and writes to the current folder."""
    folder = Path.cwd()
    logging = folder / "log4j2.properties"
    logging.write_text(_LOGGING, encoding="ascii")
    jpype.JClass("java.lang.System").setProperty("log4j2.configurationFile", str(logging))
    builder = jpype.JClass("org.apache.spark.sql.SparkSession").builder()
    places = {"spark.local.dir": str(folder), "spark.sql.warehouse.dir": str(folder / "warehouse")}
    for name, value in {**_SETTINGS, **places}.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    _use_own_files(made.sparkContext().hadoopConfiguration())
    return made


def _use_own_files(configuration: Any) -> None:
    """Have Hadoop read local files without starting programs, which a sandbox forbids."""
    system = jpype.JClass("java.lang.ClassLoader").getSystemClassLoader()
    files = _compiled("SparkFiles", system)()
    files.initialize(jpype.JClass("java.net.URI")("file:///"), configuration)
    # Hadoop asks this cache first, whatever its configuration says; the method is not public.
    file_system = jpype.JClass("org.apache.hadoop.fs.FileSystem")
    uri, configuring = jpype.JClass("java.net.URI").class_, jpype.JClass("org.apache.hadoop.conf.Configuration").class_
    add = file_system.class_.getDeclaredMethod("addFileSystemForTesting", uri, configuring, file_system.class_)
    add.setAccessible(True)
    add.invoke(None, jpype.JClass("java.net.URI")("file:///"), configuration, files)


@cache
def rows_class() -> Any:
    """Return the class SparkRows."""
    return _compiled("SparkRows", jpype.JClass("java.lang.ClassLoader").getSystemClassLoader())


@cache
def blocks_class() -> Any:
    """Return the class SparkBlocks."""
    return _compiled("SparkBlocks", rows_class().class_.getClassLoader())


def _compiled(name: str, loader: Any) -> Any:
    """Compile a class with the Janino that Spark bundles, so no JDK is needed, against the classes of `loader`."""
    source = Path(__file__).with_name(f"{name}.java").read_text(encoding="utf-8")
    compiler = jpype.JClass("org.codehaus.janino.SimpleCompiler")()
    compiler.setSourceVersion(_JAVA)
    compiler.setTargetVersion(_JAVA)
    compiler.setParentClassLoader(loader)
    compiler.cook(source)
    return jpype.JClass(f"hotswap.spark.{name}", loader=compiler.getClassLoader())


def reason(error: jpype.JException) -> str:
    """Return Spark's message for an error: the first paragraph of its root cause's, whole sentences in one line."""
    while error.getCause() is not None:
        error = error.getCause()
    return first_paragraph(str(error.getMessage() or error.getClass().getName()))


def first_paragraph(text: str) -> str:
    """Return a text up to a blank line, a heading or a plan (after `;`), in one line of bounded length."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if not line.strip() or line.startswith("==") or (lines and lines[-1].endswith(";")):
            break
        lines.append(line)
    return textwrap.shorten(" ".join(lines).removesuffix(";"), _LONGEST, placeholder=" …")
