"""Record batches in Kafka's wire format, for whoever reads or writes their bytes; imports no Kafka library."""
