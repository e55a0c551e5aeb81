"""Feeds bring a run's events to the screens: a reader of a live journal, or a clock that replays one.

Both deliver the same batches by the same protocol, so the screens need not distinguish them.
"""
