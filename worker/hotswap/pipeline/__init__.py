"""The hot path: one loop per partition, and the Protocols it needs from the rest of the worker; `service` builds it."""
