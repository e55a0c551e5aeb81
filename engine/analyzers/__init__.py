"""Analyzers: what turns the raw results of a node into a note for people and a lesson for later rounds."""
