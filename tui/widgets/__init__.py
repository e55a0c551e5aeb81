"""Widgets that write little: each repaints only the rows that changed, and none asks for a layout in steady state."""
