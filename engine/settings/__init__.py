"""Hold what people may set, decoded strictly.

- `model`: the settings of a run
- `models`: the language models and their roles
- `command`: the program that designs in a folder
- `fitness`: what nodes are ranked by
- `decode`: TOML and `key=value` into settings
"""
