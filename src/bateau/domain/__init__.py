"""The nouns that cross a stage: frozen values, no I/O, no methods that do a stage's work."""
