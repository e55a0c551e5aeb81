"""The languages that programs are written in: one small file each, and what they share.

- `base`: what the engine must know of a language
- `registry`: the languages by name
- `kinds`: what the kinds of nodes of a grammar stand for
- `grammar`: read programs of a language that tree-sitter has a grammar for
- `parsed`: such a program, parted at its top level
"""
