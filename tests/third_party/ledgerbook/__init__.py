"""A third party's target: it knows the engine's interfaces, and the engine does not know it."""
