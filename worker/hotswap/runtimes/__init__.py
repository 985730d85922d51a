"""The libraries inside a model host: one module per kind of model."""
