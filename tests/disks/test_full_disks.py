"""Full disks: the others are used; when no group of disks has room left, writes are refused with an
S3 error while reads and deletions go on; and all of it ends when there is room again."""
import random
import time
import unittest

from harness import ctl, disks
from harness.lean import Lean
from test_disk_dies import HEAL_LIMIT_S, LOAD_S, SEED, PoolUnderLoad

SIZES = (1000, 300000, 2 << 20)
NO_ROOM = (503, 507)


@unittest.skipUnless(disks.faultfs(), "no faultfs: libfuse3 or /dev/fuse is missing")
class FullDisks(unittest.TestCase):
    limit_s = 300

    def end(self, pool):
        """Everything is as before, and as it was answered."""
        ctl.await_health(pool.server, HEAL_LIMIT_S)
        pool.audit()
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err)
        pool.server.restart()
        pool.audit()

    def check_some_full(self, which):
        pool = PoolUnderLoad(8)
        self.addCleanup(pool.close)
        pool.load()
        time.sleep(LOAD_S / 2)
        first = pool.metadata_disk() if which == "metadata" else (pool.metadata_disk() + 5) % 8
        pool.disks[first].set(disks.FULL)
        time.sleep(1.5)  # what was under way may have been refused
        before = pool.history.acked
        time.sleep(LOAD_S)
        acked = pool.history.acked - before
        full = [disk["is_full"] for disk in ctl.ask(pool.server, "disk", "ls")["disks"]]
        pool.disks[first].set()
        pool.end_load()
        self.assertEqual(sum(full), 1, full)
        self.assertGreater(acked, 50, "the others are used")
        self.assertEqual(pool.failed_reads(), {})
        self.end(pool)

    def test_one_full_disk_costs_nobody_anything(self):
        self.check_some_full("data")

    def test_the_disk_with_the_metadata_may_be_full(self):
        self.check_some_full("metadata")

    def put(self, lean, key, size):
        body = random.Random(f"{SEED}-{key}").randbytes(size)
        return lean.request("PUT", f"/full/{key}", body=body), body

    def test_when_all_are_full_writes_are_refused_and_the_rest_goes_on(self):
        pool = PoolUnderLoad(4)
        self.addCleanup(pool.close)
        lean = Lean(pool.server)
        self.assertEqual(lean.request("PUT", "/full").status, 200)
        kept = {}
        for index in range(30):
            reply, body = self.put(lean, f"k{index}", SIZES[index % len(SIZES)])
            self.assertEqual(reply.status, 200, reply)
            kept[f"k{index}"] = body
        for disk in pool.disks:
            disk.set(disks.FULL)
        until = time.monotonic() + HEAL_LIMIT_S
        refused = 0
        while refused < 6:  # some may go where room was set aside already
            self.assertLess(time.monotonic(), until, "full disks still take data")
            key = f"more{random.random()}"
            reply, body = self.put(lean, key, SIZES[refused % len(SIZES)])
            if reply.status == 200:
                kept[key] = body
            else:
                refused += 1
                self.assertIn(reply.status, NO_ROOM, reply)
                self.assertIn(reply.code, ("StorageFull", "SlowDown", "ServiceUnavailable"))
        for key, body in kept.items():
            self.assertEqual(lean.request("GET", f"/full/{key}").body, body, key)
        for key in sorted(kept)[:5]:
            self.assertEqual(lean.request("DELETE", f"/full/{key}").status, 204)
            del kept[key]
        for disk in pool.disks:
            disk.set()
        until = time.monotonic() + HEAL_LIMIT_S
        while self.put(lean, "again", SIZES[2])[0].status != 200:
            self.assertLess(time.monotonic(), until, "no room came back")
            time.sleep(0.2)
        self.assertEqual(set(lean.list_all("full")), set(kept) | {"again"})
        for key, body in kept.items():
            self.assertEqual(lean.request("GET", f"/full/{key}").body, body, key)
        self.end(pool)
