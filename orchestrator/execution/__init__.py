"""Where trials are run: in this process, or in a child process that may die without harm."""
