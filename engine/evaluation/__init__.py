"""Measure one candidate under limits, in a process of its own."""
