"""Turn the events of a journal into the state of a run.

- `run_state`: the state after a prefix of the events
- `fold`: apply events to a state, or make one of them
- `handlers`: what each kind of event changes
- `calls`: the same for the calls of models
- `node`: the parts of the state
- `timeline`: the state at any event, for replay
- `lineage`: ancestors and best path
- `limits`: what ends a run by itself
- `no_design`: rounds that gave no design
- `trouble`: tries and calls of models that gave nothing
- `surprise`: nodes that are worth a closer look
- `ranking`: scores and fitness as people see them
"""
