"""A worker's next actions for its generations, and the choice of the one that may score an offset."""
