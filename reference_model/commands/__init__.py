"""The commands of ``python -m reference_model``: each module has ``register(app)``."""
