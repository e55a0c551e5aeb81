"""The loop and its parts: journal, task, evaluation, designers, command line. The terminal application is in `tui`."""
