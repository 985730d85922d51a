"""Local resources: CPU cores, a Java and pinned jars, a Kafka without Docker, processes that end with ours."""
