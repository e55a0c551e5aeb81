"""The supervisor of one evaluation: start it, enforce its limits, receive its result, end all its processes.

The engine runs it in a process and a session of its own, as `supervisor.main.main(FOLDER, COMMAND)`: in an interpreter
without site-packages, or forked (`forker`) with nurseries, which then start evaluator and candidate instead. It needs
only the standard library (Python 3.9 or later), imports its own files by relative names, since `engine` is not
importable there, and has a single thread.

Descriptors that it gets:
    0, 1    the engine: lines of JSON; first line in is the job, later ones are orders (freeze, thaw, cancel,
            acknowledge); lines out are `progress`, `fault` and `done`.
    4, 5    the result channel: its own end, and the end that the evaluator gets as descriptor 3.

Guarantees:
    - When it exits, no process of the evaluation is left. It is their subreaper: a process that loses its parent
      becomes its child, and it exits only once it has no child left. End of file from the engine ends the evaluation
      too.
    - A finished result outlives the engine: unless the engine acknowledges `done`, it is left in FOLDER/outcome.json.
      A cancelled evaluation did not finish and leaves nothing there.
    - FOLDER/lock is held until all of this is done.
"""
