"""`python -m truthward.cli`, where the command is not on the path."""

import sys

from truthward.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
