"""`python -m truthward.cli`, if the command `truthward` is not on the path."""

import sys

from truthward.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
