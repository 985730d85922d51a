"""The environments that Python models run in."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PythonSettings(BaseSettings):
    """Where the packages and the Pythons of Python models come from, and how large an environment may be."""

    model_config = SettingsConfigDict(defer_build=True)

    python_index: str | None = Field(
        None,
        repr=False,
        description="Index of packages that workers install a Python model's requirements from, as a URL of the Simple "
        "API (PEP 503), which may have user info. It is never logged. A model with wheels of its own needs none. "
        "Default: PyPI.",
    )
    pythons: str = Field(
        "",
        description="Pythons that Python models may run on, by the paths of their programs, separated by commas. A "
        "model names its version in the file `.python-version`; one that does not runs on the first. Default: the "
        "worker's own Python alone.",
    )
    environment_max_bytes: int = Field(
        4 << 30,
        ge=1 << 20,
        description="Largest environment of a Python model: its packages, with what is needed to install them.",
    )
    python_memory_mb: int = Field(
        4_096,
        ge=64,
        description="Memory that the process of a Python model may allocate, MiB. Beyond it, Python raises "
        "MemoryError, and libraries may end the process.",
    )
