"""The libraries inside a model host: one package per kind of model."""
