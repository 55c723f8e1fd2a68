"""`python -m cfa_lab`."""

from cfa_lab.cli import main

if __name__ == "__main__":
    main()
