"""Many disks, and what happens to disks: usage run.py [PART-OF-A-TEST-NAME...]."""
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(FOLDER))
sys.path.insert(0, os.path.join(os.path.dirname(FOLDER), "crash"))

from harness import runner  # noqa: E402  (needs the path above)

if __name__ == "__main__":
    sys.exit(runner.main("disks", FOLDER))
