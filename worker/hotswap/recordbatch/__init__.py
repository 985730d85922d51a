"""Record batches in Kafka's wire format; imports no Kafka library."""
