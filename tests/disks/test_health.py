"""health knows of every loss, and of none that is over, without anybody asking fsck."""
import os
import random
import shutil
import sqlite3
import tempfile
import time
import unittest

from harness import ctl
from harness.disks import PlainDisk
from harness.lean import Lean
from harness.server import Server

COUNT = 24
LIMIT_S = 120


class Health(unittest.TestCase):
    """Four disks, and objects without redundancy on each of them."""

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="goodfs-disks.")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.disks = [PlainDisk(self.home, f"d{index}") for index in range(4)]
        self.server = Server(disks=[disk.path for disk in self.disks])
        self.addCleanup(self.server.close)
        self.server.start()
        rng = random.Random(3)
        self.request("PUT", "/health")
        for index in range(COUNT):
            self.request("PUT", f"/health/{index}", [("x-amz-storage-class", "replica:1")],
                         rng.randbytes(200_000))

    def request(self, method, path, headers=(), body=b"", statuses=(200, 204)):
        lean = Lean(self.server)
        try:
            reply = lean.request(method, path, "", headers, body)
        finally:
            lean.close()
        self.assertIn(reply.status, statuses, reply)
        return reply

    def await_reason(self, words):
        """Meanwhile it is never called healthy."""
        until = time.monotonic() + LIMIT_S
        out = ""
        while words not in out:
            self.assertLess(time.monotonic(), until, out)
            status, out, err = ctl.run(self.server, "health")
            self.assertEqual(status, 1, out + err)
            time.sleep(0.05)

    def found(self):
        return ctl.ask(self.server, "fsck", "status")["fsck"]

    def check_losses(self):
        """What cannot be read is what is named; without it all is well."""
        self.await_reason("too little is left")
        rows = self.found()["objects"]
        named = {row["key"]: row["state"] for row in rows}
        self.assertEqual({(row["have"], row["need"], row["width"]) for row in rows}, {(0, 1, 1)})
        gone = {str(index): "lost" for index in range(COUNT)
                if self.request("GET", f"/health/{index}", statuses=(200, 500)).status == 500}
        self.assertEqual(named, gone)
        self.assertGreater(len(gone), 0)
        self.server.kill()
        self.server.start()
        self.await_reason("too little is left")
        for key in gone:
            self.request("DELETE", f"/health/{key}")
        ctl.await_health(self.server, LIMIT_S)
        self.assertEqual(self.found()["lost"], 0)

    def start_with_an_empty_disk(self):
        ctl.await_health(self.server, LIMIT_S)
        self.server.stop()
        self.disks[1].empty()
        self.server.start()

    def test_an_empty_disk_in_the_place_of_another_at_a_start(self):
        self.start_with_an_empty_disk()
        self.check_losses()

    def test_a_kill_between_the_repair_and_the_search(self):
        """The disks are whole again by then, and the next start finds nothing that is wrong."""
        self.start_with_an_empty_disk()
        until = time.monotonic() + LIMIT_S
        while any(disk["state"] == "failed" or disk["is_behind"]
                  for disk in ctl.ask(self.server, "disk", "ls")["disks"]):
            self.assertLess(time.monotonic(), until)
        self.server.kill()
        self.server.start()
        self.check_losses()

    def test_a_disk_that_is_emptied_and_replaced_while_the_server_runs(self):
        ctl.await_health(self.server, LIMIT_S)
        self.disks[2].empty()
        until = time.monotonic() + LIMIT_S
        while ctl.run(self.server, "health")[0] == 0:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        fresh = os.path.join(self.home, "fresh")
        os.mkdir(fresh)
        status, out, err = ctl.run(self.server, "disk", "replace", self.disks[2].path, fresh)
        self.assertEqual(status, 0, out + err)
        self.check_losses()

    def test_a_disk_that_is_back(self):
        ctl.await_health(self.server, LIMIT_S)
        self.disks[3].take_away()
        until = time.monotonic() + LIMIT_S
        while ctl.run(self.server, "health")[0] == 0:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        self.assertEqual(ctl.run(self.server, "fsck", "--wait")[0], 1)
        self.assertGreater(self.found()["unreachable"], 0)
        self.disks[3].bring_back()
        ctl.await_health(self.server, LIMIT_S)
        found = self.found()
        self.assertEqual((found["lost"], found["unreachable"]), (0, 0), found)


class DamagedRow(unittest.TestCase):
    """One disk, so that there is no other copy of the metadata to go on with."""

    def test_a_row_that_cannot_be_read_is_no_health(self):
        server = Server()
        self.addCleanup(server.close)
        server.start()
        lean = Lean(server)
        self.assertEqual(lean.request("PUT", "/rows", "", [], b"").status, 200)
        for key in ("good", "bad"):
            self.assertEqual(lean.request("PUT", f"/rows/{key}", "", [], b"bytes").status, 200)
        lean.close()
        self.assertEqual(ctl.run(server, "fsck", "--wait")[0], 0)
        self.assertEqual(ctl.run(server, "health")[0], 0)
        server.stop()
        database = sqlite3.connect(os.path.join(server.data, "meta", "metadata.sqlite"))
        with database:
            changed = database.execute("UPDATE objects SET v = zeroblob(length(v)) "
                                       "WHERE instr(k, CAST('bad' AS BLOB)) > 0").rowcount
        database.close()
        self.assertEqual(changed, 1)
        server.start()
        lean = Lean(server)
        self.assertEqual(lean.request("GET", "/rows/good", "", [], b"").status, 200)
        self.assertEqual(lean.request("GET", "/rows/bad", "", [], b"").status, 500)
        self.assertEqual(ctl.run(server, "fsck", "--wait")[0], 1)
        self.assertTrue(ctl.ask(server, "fsck", "status")["fsck"]["has_damaged_rows"])
        status, out, err = ctl.run(server, "health")
        self.assertEqual(status, 1, out + err)
        self.assertIn("rows of the metadata are damaged", out)
        self.assertEqual(lean.request("PUT", "/rows/bad", "", [], b"new").status, 200)
        lean.close()
        self.assertEqual(ctl.run(server, "fsck", "--wait")[0], 0)
        self.assertEqual(ctl.run(server, "health")[0], 0)
