"""`python -m flows` is `polycast`."""

from flows.cli import main

if __name__ == "__main__":
    main()
