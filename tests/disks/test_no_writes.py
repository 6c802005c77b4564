"""No disk takes writes any more, but all can be read: what is there is read, writes are refused
with the reason, and when the disks take writes again everything is as before."""
import random
import time
import unittest

from harness import ctl, disks
from harness.lean import Lean
from test_disk_dies import HEAL_LIMIT_S, SEED, PoolUnderLoad

SIZES = (0, 100, 65536, 300000, 2 << 20, 20 << 20)
NO_WRITES_S = 4
PATH = "/kept"


@unittest.skipUnless(disks.faultfs(), "no faultfs: libfuse3 or /dev/fuse is missing")
class NoWrites(unittest.TestCase):
    limit_s = 300

    def put(self, lean, key, size, seed=0):
        body = random.Random(f"{SEED}-{key}-{seed}").randbytes(size)
        return lean.request("PUT", f"{PATH}/{key}", body=body), body

    def check(self, lean, kept):
        for key, body in kept.items():
            reply = lean.request("GET", f"{PATH}/{key}")
            self.assertEqual(reply.status, 200, (key, reply))
            self.assertEqual(reply.body, body, key)
            reply = lean.request("HEAD", f"{PATH}/{key}")
            self.assertEqual(reply.status, 200, (key, reply))
            if len(body) > 70000:
                reply = lean.request("GET", f"{PATH}/{key}",
                                     headers=[("Range", "bytes=65000-66999")])
                self.assertEqual(reply.status, 206, (key, reply))
                self.assertEqual(reply.body, body[65000:67000], key)
        self.assertEqual(set(lean.list_all(PATH[1:])), set(kept))

    def fill(self, lean):
        kept = {}
        self.assertEqual(lean.request("PUT", PATH).status, 200)
        for index in range(30):
            reply, body = self.put(lean, f"k{index}", SIZES[index % len(SIZES)])
            self.assertEqual(reply.status, 200, reply)
            kept[f"k{index}"] = body
        return kept

    def await_refusal(self, lean):
        """No disk is used any more when a write was refused and health says so."""
        until = time.monotonic() + HEAL_LIMIT_S
        number = 0
        while True:
            number += 1
            reply, _ = self.put(lean, "more", 300000, number)
            status, out, _ = ctl.run(lean.server, "health")
            self.assertNotEqual(reply.status, 200, reply)
            self.assertIn(reply.status, (500, 503), reply)
            if reply.status == 503 and status == 1 and "read-only" in out:
                return out
            self.assertLess(time.monotonic(), until, out)

    def check_no_writes(self, *faults):
        pool = PoolUnderLoad(6)
        self.addCleanup(pool.close)
        lean = Lean(pool.server)
        lean.server = pool.server
        kept = self.fill(lean)
        for disk in pool.disks:
            disk.set(*faults)
        self.assertRegex(self.await_refusal(lean), "read-only: .*disk")
        until = time.monotonic() + NO_WRITES_S
        while time.monotonic() < until:
            self.check(lean, kept)
            for reply in (self.put(lean, "k1", 100, 1)[0], self.put(lean, "new", 2 << 20)[0],
                          lean.request("DELETE", f"{PATH}/k2")):
                self.assertEqual(reply.status, 503, reply)
        for disk in pool.disks:
            disk.set()
        self.end(pool, lean, kept)

    def end(self, pool, lean, kept):
        """All the time everything is read; health says when writes go on."""
        begun = time.monotonic()
        while ctl.run(pool.server, "health")[0] != 0:
            self.assertLess(time.monotonic() - begun, HEAL_LIMIT_S,
                            ctl.run(pool.server, "health")[1] + pool.server.log()[-20000:])
            self.check(lean, kept)
        print(f"{self.id().split('.')[-1]}: healthy {time.monotonic() - begun:.1f} s after",
              flush=True)
        reply, kept["new"] = self.put(lean, "new", 2 << 20, 3)
        self.assertEqual(reply.status, 200, reply)
        self.assertEqual(lean.request("DELETE", f"{PATH}/k2").status, 204)
        del kept["k2"]
        self.check(lean, kept)
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err)
        pool.server.restart()
        lean = Lean(pool.server)
        self.check(lean, kept)

    def test_when_no_disk_can_be_written_everything_is_read(self):
        self.check_no_writes(disks.WRITE_ERROR, disks.FSYNC_ERROR)

    def test_when_no_disk_can_be_flushed_everything_is_read(self):
        self.check_no_writes(disks.FSYNC_ERROR)
