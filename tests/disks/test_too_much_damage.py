"""More damage than a class can take: the object is never served, and it is named without anybody
asking for a search; everything else goes on."""
import os
import random
import time
import unittest

from harness import ctl
from harness.lean import Gone, Lean
from test_disk_dies import HEAL_LIMIT_S, SEED, PoolUnderLoad

SIZE = 1 << 20
PIECE = 4096


def flip_first_byte(folder, wanted):
    """Of these bytes, in every file that has them; in how many that was."""
    count = 0
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            at = file.read().find(wanted)
        if at >= 0:
            with open(path, "r+b", buffering=0) as file:
                os.pwrite(file.fileno(), bytes([wanted[0] ^ 1]), at)
            count += 1
    return count


class TooMuchDamage(unittest.TestCase):
    def setUp(self):
        self.pool = PoolUnderLoad(4, fault_disks=False)
        self.addCleanup(self.pool.close)
        rng = random.Random(SEED)
        self.bodies = {key: rng.randbytes(SIZE) for key in ("lost", "kept")}
        lean = Lean(self.pool.server)
        for key, body in self.bodies.items():
            reply = lean.request("PUT", f"/crash/{key}", "",
                                 [("x-amz-storage-class", "replica:2")], body)
            self.assertEqual(reply.status, 200, reply)

    def get(self, key):
        try:
            return Lean(self.pool.server).request("GET", f"/crash/{key}")
        except Gone:
            return None

    def await_bad_health(self, words):
        until = time.monotonic() + HEAL_LIMIT_S
        status, out = 0, ""
        while status != 1 or words not in out:
            self.assertLess(time.monotonic(), until, f"health: {status} {out}")
            time.sleep(0.2)
            status, out, _ = ctl.run(self.pool.server, "health")

    def test_a_lost_object_is_never_served_and_is_named_by_itself(self):
        server = self.pool.server
        server.kill()
        copies = sum(flip_first_byte(os.path.join(disk.path, "bulk"), self.bodies["lost"][:PIECE])
                     for disk in self.pool.disks)
        self.assertEqual(copies, 2)
        server.start()
        reply = self.get("lost")  # which finds the damage
        self.assertTrue(reply is None or reply.status == 500, reply)
        self.await_bad_health("damaged fragments could not be repaired")
        status, out, err = ctl.run(server, "fsck", "--wait", "--json")
        self.assertEqual(status, 1, out + err)
        self.assertRegex(out, '"state":"lost"[^}]*"bucket":"crash","key":"lost"')
        self.assertNotIn('"key":"kept"', out)
        self.assertEqual(self.get("kept").body, self.bodies["kept"])

    def test_when_the_object_is_gone_all_is_well_again(self):
        self.test_a_lost_object_is_never_served_and_is_named_by_itself()
        server = self.pool.server
        self.assertEqual(Lean(server).request("DELETE", "/crash/lost").status, 204)
        status, out, err = ctl.run(server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err)
        ctl.await_health(server, HEAL_LIMIT_S)
