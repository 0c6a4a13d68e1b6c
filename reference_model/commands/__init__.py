"""Commands of the reference: each module with a function ``register(app)`` adds its own."""
