"""Bad input: usage run.py [PART-OF-A-TEST-NAME...]; see harness/server.py for GOODFS_BIN."""
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(FOLDER))

from harness import case, runner  # noqa: E402  (needs the path above)

if __name__ == "__main__":
    sys.exit(runner.main("hostile", FOLDER, after=case.close_shared))
