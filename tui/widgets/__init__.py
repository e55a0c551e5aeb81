"""Widgets that write few bytes: each repaints only changed rows, and none asks for a layout in steady state."""
