"""The terminal application: read a run's journal and write commands to it; never touch the engine's memory."""
