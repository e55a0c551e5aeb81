"""Turn the events of a journal into what a run has come to.

- `run_state`: the state after a prefix of the events
- `fold`: apply events to a state, or make one of them
- `handlers`: what each kind of event changes
- `node`: the parts of the state
- `timeline`: the state at any event, for replay
- `lineage`: ancestors and best path
- `limits`: what ends a run by itself
- `no_design`: rounds that gave no design
- `ranking`: what people are shown of a rank
"""
