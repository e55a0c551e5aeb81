"""Hold the built-in tasks, a folder each."""
