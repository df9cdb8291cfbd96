"""The entry point ``separation``; see :mod:`separation.cli`."""

import sys

from separation.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
