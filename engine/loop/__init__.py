"""Run the loop: rounds of learn, design, experiment and analyze over a journal, several in flight.

- `engine`: put the parts together, run them, close them
- `scheduler`, `limits`: start rounds, end the run; how much runs at once
- `stages`: one round, stage by stage
- `session`: append events to the journal and to the state in memory
- `command_calls`, `command_record`: run the command that designs, and record what came of it
- `past`, `memory`: fold the past; keep the sampler and the designer up to date
- `evaluations`: run evaluations; freeze, thaw and cancel them
- `models`, `failover`: ask models on behalf of rounds; change them while one does not answer
- `gate`: pause rounds
- `commands`: answer what people ask of an engine
- `priors`, `run_files`, `file_watch`: retrieve priors; record how people change them and the task's folder
- `task_copy`, `task_prompts`: what evaluations and prompts need of the task
- `startup`: what an engine does before its first round
- `telemetry`, `hooks`, `serve`: figures of the machine, commands of the user, an engine in this process
"""
