"""`python -m bateau` is `bateau`."""

from bateau.cli import main

main()
