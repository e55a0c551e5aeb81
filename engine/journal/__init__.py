"""Keep a run in one SQLite file: the append-only list of what happened, its blobs, and what people ask for.

- `events`: every kind of event, typed
- `database`: make, open and check the file; single writes, commands among them
- `reader`: read a journal
- `writer`: the one writer of events
- `live`: text that is shown while it is written, kept in a bounded ring
- `clock`: wall time for people, steady time for durations
"""
