"""`python -m ntteach` is the command line."""

from ntteach.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
