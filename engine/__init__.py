"""The engine: a bundle folder in, a result folder out. Knows nothing of the daemon."""
