"""The nouns that cross a stage: frozen values without I/O. Stages do the work; these values only describe it."""
