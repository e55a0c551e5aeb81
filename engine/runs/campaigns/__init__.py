"""Many runs as one object: every task by every setting by every seed, with equal budgets.

- `file`: a campaign's TOML file, read strictly
- `plan`: the runs that it stands for, each with its task and settings, and whether those that are there fit it
- `work`: give each run an engine until it ends, some at once
- `summary`: the best after so many rounds, means with intervals, paired differences to the baseline
"""
