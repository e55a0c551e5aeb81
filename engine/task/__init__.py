"""Read a task folder: what to search for and how it is measured.

- `spec`: task.toml, typed
- `interface`: check a program against what its task requires
- `load`: find a task folder and load it
- `scaffold`: write a new task folder
- `snapshot`: the copy of a task that a run keeps
"""
