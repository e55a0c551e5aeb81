"""Hostile candidates, by kind: what each may reach at each level of confinement, and how its evaluation ends."""
