"""Write candidate programs: by a language model, by recombination, or by both."""
