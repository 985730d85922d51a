"""Apache Kafka behind our words: nothing outside this folder imports aiokafka."""
