"""What this machine gives: its cores, a Java and pinned jars, a Kafka without Docker, processes that end with ours."""
