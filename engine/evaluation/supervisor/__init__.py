"""The guardian of one evaluation: starts it, limits it, takes its result, ends every process of it.

The engine runs it in a process and a session of its own, as `supervisor.main.main(FOLDER, COMMAND)` in an interpreter
without site-packages. It needs nothing but the standard library (Python 3.9 or later), imports its own files by
relative names only, since it is no part of `engine` there, and has a single thread.

Descriptors it is given:
    0, 1    the engine: lines of JSON; first line in is the job, later ones are orders (freeze, thaw, cancel,
            acknowledge); lines out are `progress`, `fault` and `done`.
    4, 5    the result channel: its own end, and the end that the evaluator gets as descriptor 3.

What it promises:
    - When it ends, no process of the evaluation is left. It is their subreaper, so that whoever loses a parent becomes
      its child, and it ends only when it has no child any more. End of file from the engine ends the evaluation too.
    - A finished result outlives the engine: unless the engine acknowledges `done`, it is left in FOLDER/outcome.json.
      One that was cancelled did not finish, and leaves nothing there.
    - FOLDER/lock is held for as long as any of this may still happen.
"""
