"""Read a task folder: what to search for and how it is measured.

- `spec`: task.toml, typed, and the folder it stands in
- `check`: what `evolve check` tries
- `scaffold`: write a new task folder
- `snapshot`: the copy of a task that a run keeps
"""
