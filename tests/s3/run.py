"""Black-box S3 tests. usage: run.py [PART-OF-A-TEST-NAME...]; GOODFS_BIN: harness/server.py."""
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(FOLDER))

from harness import case, runner  # noqa: E402  (needs the path above)

if __name__ == "__main__":
    sys.exit(runner.main("s3", FOLDER, after=case.close_shared))
