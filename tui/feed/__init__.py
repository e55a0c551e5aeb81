"""What brings a run's events to the screens: a reader of a live journal, or a clock that replays one.

Both deliver the same batches by the same protocol, and the screens cannot tell them apart.
"""
