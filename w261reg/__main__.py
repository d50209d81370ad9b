"""python -m w261reg."""

import sys

from w261reg.cli import main

if __name__ == "__main__":
    sys.exit(main())
