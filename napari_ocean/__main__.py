"""Run the command line: ``python -m napari_ocean``."""

import sys

from napari_ocean.cli import main

if __name__ == "__main__":
    sys.exit(main())
