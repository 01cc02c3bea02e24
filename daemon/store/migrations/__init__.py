"""How databases came to be what they are, version by version."""
