"""Apache Kafka behind our own types and errors: nothing outside this folder imports aiokafka."""
