"""What an operator sets. Others import what is named here, and `kafka` where only Kafka's settings are meant."""

from hotswap.settings.fields import OWN_CONTROL, PREFIX, Settings, Topics, nearest, origins, unknown_variables

__all__ = ["OWN_CONTROL", "PREFIX", "Settings", "Topics", "nearest", "origins", "unknown_variables"]
