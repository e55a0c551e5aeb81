"""Hostile programs and files: each names the outcome that is right."""
