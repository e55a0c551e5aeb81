"""Run the loop: rounds of learn, design, experiment and analyze over a journal, several in flight.

- `engine`: put the parts together and run them
- `session`: the state in memory and the journal behind it
- `gate`: pause rounds and limit evaluations
- `models`: ask models on behalf of rounds
- `failover`: change models while one does not answer
- `commands`: answer what people ask of an engine
- `startup`: what an engine does before its first round
- `stages`: one round, stage by stage
- `file_watch`: look at the task's files and the priors when they change
- `telemetry`, `hooks`, `serve`: machine figures, commands of the user, an engine in this process
"""
