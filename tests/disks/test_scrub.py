"""What a scrub, and a look at one object, have to find on real disks: damage deep inside large
fragments, and files of them that are gone. Found, it is made good, and every fragment is read
whole."""
import os
import random
import shutil
import tempfile
import unittest

from harness import ctl
from harness.disks import PlainDisk
from harness.lean import Lean
from harness.server import Server

HEAL_LIMIT_S = 60
PIECE = 4096


def bulk_files(disk):
    folder = os.path.join(disk.path, "bulk")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))
            if name.endswith(".seg")]


def flip(path, wanted):
    """One bit of these bytes; False: they are not in this file."""
    with open(path, "r+b", buffering=0) as file:
        at = file.read().find(wanted)
        if at >= 0:
            byte = os.pread(file.fileno(), 1, at)
            os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)
            os.fsync(file.fileno())
    return at >= 0


class Scrub(unittest.TestCase):
    def setUp(self):
        home = tempfile.mkdtemp(prefix="goodfs-disks.")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        self.disks = [PlainDisk(home, f"d{index}") for index in range(4)]
        self.server = Server(disks=[disk.path for disk in self.disks])
        self.addCleanup(self.server.close)
        self.rng, self.bodies = random.Random(1), {}
        self.server.start()
        self.assertEqual(Lean(self.server).request("PUT", "/scrub").status, 200)

    def put(self, key, storage_class, size):
        self.bodies[key] = self.rng.randbytes(size)
        reply = Lean(self.server).request("PUT", f"/scrub/{key}", "",
                                          [("x-amz-storage-class", storage_class)],
                                          self.bodies[key])
        self.assertEqual(reply.status, 200, reply)

    def flip_one_copy(self, key, at):
        """On the first disk that has these bytes of the object."""
        wanted = self.bodies[key][at:at + PIECE]
        self.assertTrue(any(flip(path, wanted) for disk in self.disks for path in
                            bulk_files(disk)), f"{key} at {at}")

    def scrub(self):
        """How much was found in all. When it is over nothing is left to be healed."""
        status, out, err = ctl.run(self.server, "scrub", "start", "--wait")
        self.assertEqual(status, 0, out + err)
        ctl.await_health(self.server, HEAL_LIMIT_S)
        return ctl.ask(self.server, "scrub", "status")["scrub"]["found"]

    def states(self, key):
        """Of all fragments, read from the disks."""
        chunks = ctl.ask(self.server, "object", "info", f"scrub/{key}", "--verify")["chunks"]
        return [part["state"] for chunk in chunks for part in chunk["fragments"]]

    def expect_whole(self, key, width):
        states = self.states(key)
        self.assertEqual(set(states), {"ok"}, key)
        self.assertEqual(len(states) % width, 0, states)
        self.assertEqual(Lean(self.server).request("GET", f"/scrub/{key}").body, self.bodies[key])

    def test_damage_deep_in_a_large_fragment_is_found_and_healed(self):
        self.put("copy", "replica:2", 6_000_000)
        self.put("stripe", "ec:2+2", 6 << 20)
        self.server.kill()
        self.flip_one_copy("copy", 3_000_000)
        self.flip_one_copy("stripe", (6 << 20) - PIECE)
        self.server.start()
        self.assertGreaterEqual(self.scrub(), 2)
        self.expect_whole("copy", 2)
        self.expect_whole("stripe", 4)

    def test_what_verify_finds_is_made_good(self):
        self.put("copy", "replica:2", 6_000_000)
        self.server.kill()
        self.flip_one_copy("copy", 5_000_000)
        self.server.start()
        self.assertEqual(sorted(self.states("copy")), ["damaged", "ok"])
        ctl.await_health(self.server, HEAL_LIMIT_S)
        self.expect_whole("copy", 2)

    def lose_a_bulk_file(self):
        """While the server is down; of the disk that has most in them."""
        for index in range(4):
            self.put(f"copy{index}", "replica:2", 300_000 + index)
            self.put(f"stripe{index}", "ec:2+2", 1_000_000 + index)
        self.server.stop()
        path = max((path for disk in self.disks for path in bulk_files(disk)),
                   key=lambda path: os.stat(path).st_blocks)
        os.unlink(path)
        self.server.start()

    def expect_all_whole(self):
        for key in self.bodies:
            self.expect_whole(key, 4 if key.startswith("stripe") else 2)

    def test_a_bulk_file_that_is_gone_is_found_and_made_anew(self):
        self.lose_a_bulk_file()
        self.assertGreaterEqual(self.scrub(), 4)
        self.expect_all_whole()

    def test_verify_finds_that_a_bulk_file_is_gone(self):
        self.lose_a_bulk_file()
        states = [state for key in self.bodies for state in self.states(key)]
        self.assertEqual(set(states), {"ok", "damaged"})
        ctl.await_health(self.server, HEAL_LIMIT_S)
        self.expect_all_whole()
