"""The content of the screens as plain data: nothing here imports Textual or knows of a terminal."""
