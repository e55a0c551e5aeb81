"""Tell what can be told of a candidate's text without running it.

- `outline`: functions, digest and names of a program
- `minhash`: a sketch of a program, to compare programs cheaply
"""
