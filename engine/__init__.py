"""The loop and all that it needs: journal, task, evaluation, designers, command line; no terminal application."""
