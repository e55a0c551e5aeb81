"""Recombine programs of other languages than Python: numbers everywhere, functions where a grammar finds them.

- `numbers`: find the literals of a program, and write another value in the place of one
- `source`: a program, taken apart: its definitions, their literals, and what reads what
- `splice`: put a donor's function in the place of the program's
- `imports`: leave out imports that it has made idle
- `inventory`: what `evolve check` tells of it
"""
