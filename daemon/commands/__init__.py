"""What is typed in a terminal: a module a noun; what is heavy is imported when a command runs."""
