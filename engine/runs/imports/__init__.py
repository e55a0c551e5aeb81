"""Runs of other systems, read as they are and written as journals of ours."""
