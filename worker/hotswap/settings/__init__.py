"""Settings of an operator. Import from here, or from `kafka` for Kafka's settings alone."""

from hotswap.settings.fields import (
    OWN_CONTROL,
    OWN_SHADOW,
    PREFIX,
    Settings,
    Topics,
    nearest,
    origins,
    unknown_variables,
)

__all__ = ["OWN_CONTROL", "OWN_SHADOW", "PREFIX", "Settings", "Topics", "nearest", "origins", "unknown_variables"]
