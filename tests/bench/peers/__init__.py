"""Other systems beside ours: one task, one model that answers all alike, one way to measure, one table."""
