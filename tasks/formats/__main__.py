"""`python -m tasks.formats FORMAT BUNDLE FOLDER`: export the bundle in a folder to another."""

import sys
from pathlib import Path

from tasks.formats import export
from tasks.learning.bundle import load_bundle

if __name__ == "__main__":
    export(sys.argv[1], load_bundle(Path(sys.argv[2])), Path(sys.argv[3]))
