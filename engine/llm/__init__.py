"""Language models: the client, recorded calls, prompts and answers."""
