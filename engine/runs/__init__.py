"""Treat runs as folders: find, make, lock, start, fork and compare them.

- `folder`: find a run, lock it
- `status`: status and summary of a run
- `manage`: start its engine, rename it, delete it
- `changes`: checks of a `set`
- `create`: make a run
- `fork`: branch off
- `replace_task`: put another task in place of the recorded copy
- `configure`: settings of a new run from config.toml, task, preset and options
- `presets`: named settings
- `compare`: runs beside each other
"""
