"""An owned partition: where it stands, and what it commits."""
