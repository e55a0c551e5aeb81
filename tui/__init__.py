"""The terminal application: it reads a run's journal and writes commands, never the loop's memory."""
