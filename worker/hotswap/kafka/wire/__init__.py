"""Kafka's protocol: requests that aiokafka lacks, and the connections that the answers take."""
