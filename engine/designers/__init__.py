"""Write candidate programs: by a language model, a command that edits a folder, or recombination."""
