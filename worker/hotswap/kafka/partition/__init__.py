"""An owned partition: its position and its commits."""
