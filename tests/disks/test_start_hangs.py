"""A start while a disk hangs: the server answers without it, and takes it back when it answers."""
import time
import unittest

from harness import ctl, disks
from test_disk_dies import HEAL_LIMIT_S, LOAD_S, PoolUnderLoad

START_LIMIT_S = 45  # 16 for a look at a disk that hangs, the rest for a slow machine


@unittest.skipUnless(disks.faultfs(), "no faultfs: libfuse3 or /dev/fuse is missing")
class StartHangs(unittest.TestCase):
    limit_s = 200

    def check(self, which):
        pool = PoolUnderLoad(4)
        self.addCleanup(pool.close)
        pool.load()
        time.sleep(LOAD_S)
        pool.end_load()
        index = (pool.metadata_disk() + (3 if which == "data" else 0)) % 4
        pool.server.stop()
        pool.disks[index].hang()
        begun = time.monotonic()
        pool.server.start()
        took = time.monotonic() - begun
        self.assertLess(took, START_LIMIT_S)
        status, out, _ = ctl.run(pool.server, "health")
        self.assertEqual(status, 1, out)
        self.assertIn(pool.disks[index].path, out)
        pool.audit()
        pool.load()
        time.sleep(LOAD_S)
        pool.disks[index].set()
        healed = ctl.await_health(pool.server, HEAL_LIMIT_S)
        pool.end_load()
        self.assertEqual(pool.failed_reads(), {})
        keys = pool.audit()
        print(f"{self.id().split('.')[-1]}: started in {took:.1f} s, {pool.history.acked} changes "
              f"acknowledged, {keys} keys audited, healed {healed:.1f} s after it answered",
              flush=True)
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err)

    def test_a_start_while_a_disk_hangs(self):
        self.check("data")

    def test_a_start_while_the_disk_with_the_metadata_hangs(self):
        self.check("metadata")
