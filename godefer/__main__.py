"""Run the command line: python -m godefer."""

import sys

from godefer._cli.command import main

if __name__ == "__main__":
    sys.exit(main())
