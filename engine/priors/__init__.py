"""Connect a run to its cognition base.

- `place`: where the priors of a task or a run are
- `watch`: report what changed in them
- `search`: retrieve priors for a round
- `usage`: which nodes a prior was shown to, and what they gained
"""
