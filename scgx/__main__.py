"""`python -m scgx` and the console script are the same thing."""

from scgx.cli import main

if __name__ == "__main__":
    main()
