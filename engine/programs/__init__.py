"""Analyse a candidate's text without running it.

- `outline`: parts, names and a digest of a program, and checks before any evaluation
- `minhash`: a sketch of a program, for cheap comparison of programs
"""
