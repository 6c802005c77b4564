"""A disk that is made read-only keeps what it has and gets nothing new; it stays in use where the
others are too few for new data."""
import random
import shutil
import tempfile
import unittest

from harness import ctl
from harness.disks import PlainDisk
from harness.lean import Lean
from harness.server import Server

BUCKET = "kept"
SIZES = (1, 100 << 10, 300 << 10, 3 << 20, 18 << 20)
PART_MIN = 5 << 20
KEPT = 1  # the disk


class ReadOnly(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="goodfs-disks.")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        disks = [PlainDisk(self.home, f"d{index}").path for index in range(4)]
        self.server = Server(disks=disks)  # ec:2+2
        self.addCleanup(self.server.close)
        self.server.start()
        self.lean = Lean(self.server)
        self.addCleanup(lambda: self.lean.close())  # the last one
        self.assertEqual(self.lean.request("PUT", f"/{BUCKET}").status, 200)
        self.rng = random.Random(7)
        self.bodies = {}

    def put(self, key, size):
        body = self.rng.randbytes(size)
        reply = self.lean.request("PUT", f"/{BUCKET}/{key}", body=body)
        self.assertEqual(reply.status, 200, reply)
        self.bodies[key] = body

    def put_all(self, prefix):
        for turn in range(3):
            for size in SIZES:
                self.put(f"{prefix}-{size}-{turn}", size)

    def ctl(self, *words):
        status, out, err = ctl.run(self.server, *words)
        self.assertEqual(status, 0, out + err)

    def disks_of(self, key):
        """That hold its fragments, all of which are there."""
        named = set()
        info = ctl.ask(self.server, "object", "info", f"{BUCKET}/{key}", "--verify")
        for chunk in info["chunks"]:
            for fragment in chunk["fragments"]:
                self.assertEqual(fragment["state"], "ok", chunk)
                named.add(fragment["disk"])
        return named

    def with_fragments_on_kept(self, prefix):
        return [key for key in self.bodies
                if key.startswith(prefix) and KEPT in self.disks_of(key)]

    def check_all(self):
        for key, body in self.bodies.items():
            reply = self.lean.request("GET", f"/{BUCKET}/{key}")
            self.assertEqual((reply.status, reply.body == body), (200, True), key)

    def check_multipart(self):
        """An upload that began before the disk was read-only, and ends after."""
        reply = self.lean.request("POST", f"/{BUCKET}/whole", "uploads")
        upload = reply.xml().findtext("UploadId")
        parts = [self.rng.randbytes(PART_MIN), self.rng.randbytes(1 << 20)]
        etags = []
        for index, part in enumerate(parts, 1):
            reply = self.lean.request("PUT", f"/{BUCKET}/whole",
                                      [("partNumber", index), ("uploadId", upload)], (), part)
            self.assertEqual(reply.status, 200, reply)
            etags.append(reply.headers["etag"])
            self.ctl("disk", "set", str(KEPT), "--read-only", "true")
        body = "<CompleteMultipartUpload>" + "".join(
            f"<Part><PartNumber>{index}</PartNumber><ETag>{etag}</ETag></Part>"
            for index, etag in enumerate(etags, 1)) + "</CompleteMultipartUpload>"
        reply = self.lean.request("POST", f"/{BUCKET}/whole", [("uploadId", upload)], (),
                                  body.encode())
        self.assertEqual(reply.status, 200, reply)
        self.bodies["whole"] = b"".join(parts)
        info = ctl.ask(self.server, "object", "info", f"{BUCKET}/whole")
        last = {fragment["disk"] for fragment in info["chunks"][-1]["fragments"]}
        self.assertNotIn(KEPT, last)

    def test_it_gets_nothing_new_once_there_are_enough_others(self):
        self.put_all("before")
        self.assertNotEqual(self.with_fragments_on_kept("before"), [])
        status, out, err = ctl.run(self.server, "disk", "set", str(KEPT), "--read-only", "true")
        self.assertEqual(status, 1, out + err)
        self.assertRegex(err, f"disk {KEPT} cannot be made read-only: .* needs 4 disks that take "
                              "new data, and without it there are 3")
        self.ctl("disk", "add", PlainDisk(self.home, "added").path)
        self.check_multipart()
        self.put_all("after")
        self.assertEqual(self.with_fragments_on_kept("after"), [])
        ctl.await_health(self.server, 60)  # a copy of the metadata moves, too
        for key in [key for key in self.bodies if key.startswith("before")][::2]:
            self.assertEqual(self.lean.request("DELETE", f"/{BUCKET}/{key}").status, 204)
            del self.bodies[key]
        self.check_all()
        self.lean.close()
        self.server.restart()
        self.lean = Lean(self.server)
        self.put_all("later")
        self.assertEqual(self.with_fragments_on_kept("later"), [])
        self.ctl("disk", "set", str(KEPT), "--read-only", "false")
        self.put_all("again")
        self.assertNotEqual(self.with_fragments_on_kept("again"), [])
        self.check_all()
        ctl.await_health(self.server, 60)
        self.ctl("fsck", "--wait")
