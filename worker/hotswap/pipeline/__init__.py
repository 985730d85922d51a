"""The hot path: one loop for each partition, with what it asks of the rest of the worker; `service` builds it."""
