"""What breaks the daemon in every way that is known, and shows that it holds: `python -m tests.proof`."""
