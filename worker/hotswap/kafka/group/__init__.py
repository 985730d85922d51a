"""A worker as a member of the deployment's consumer group."""
