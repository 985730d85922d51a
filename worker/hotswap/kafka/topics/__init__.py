"""A deployment's topics: made, read and written as logs, and their record batches."""
