"""Treat runs as folders: find, make, lock, start, fork and compare them.

- `folder`: find a run, lock it
- `status`: status and summary of a run
- `manage`: start its engine, rename it, delete it
- `command_kinds`, `asking`: the commands that a run takes; give it one and get the answer
- `effects`, `changes`: what a command brings about; checks of a `set`
- `resting`: read and write a run that has no engine
- `calls`: the model calls of a run
- `create`: make a run
- `secret`: seeds of data that no program can know
- `fork`: branch off
- `replace_task`: put another task in place of the recorded copy
- `check_task`: try a task's seeds and report what is wrong
- `reach`, `trust`, `review`: what a task may do beyond what every task may; what a person agreed to; what to ask
- `prior_files`: priors that a fork brought along; proposals of a renamed run
- `configure`: settings of a new run from config.toml, task, preset and options
- `presets`: named settings
- `prices`: public prices of models
- `compare`, `paired`: runs beside each other; means of paired differences with their intervals
- `campaigns`: many runs as one object, by tasks, settings and seeds
"""
