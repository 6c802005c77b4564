"""Many disks, and what happens to disks: usage run.py [PART-OF-A-TEST-NAME...].

Much of the time is waiting for disks that hang: GOODFS_DISKS_JOBS (2) tests run at once."""
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(FOLDER))
sys.path.insert(0, os.path.join(os.path.dirname(FOLDER), "crash"))

from harness import runner  # noqa: E402  (needs the path above)

if __name__ == "__main__":
    sys.exit(runner.main("disks", FOLDER, jobs=int(os.environ.get("GOODFS_DISKS_JOBS", "2"))))
