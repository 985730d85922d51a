"""The HTTP face of deployments: requests become records on Kafka, and swaps commands. Started by `hotswap gateway`."""
