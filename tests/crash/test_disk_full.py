"""A full disk refuses writes with an S3 error, keeps serving reads and deletes, and recovers."""
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import unittest

from harness.lean import Lean
from harness.server import Server

DISK_MIB = int(os.environ.get("GOODFS_SMALL_DISK_MIB", "700"))
RECOVER_S = 60
FULL = (507, 503)


class DiskFull(unittest.TestCase):
    limit_s = 280

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="goodfs-full.")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.disk = os.path.join(self.home, "disk")
        self.mount_small_disk()
        self.server = Server(folder=os.path.join(self.disk, "data"),
                             env={"GOODFS_GC_GRACE_SECONDS": "1"})
        self.addCleanup(self.server.close)
        self.server.start()
        self.lean = Lean(self.server)
        self.assertEqual(self.lean.request("PUT", "/full").status, 200)
        self.acked = {}

    def mount_small_disk(self):
        if os.geteuid() != 0:
            self.skipTest("mounting a small disk needs root")
        image = os.path.join(self.home, "image")
        with open(image, "wb") as file:
            file.truncate(DISK_MIB << 20)
        os.mkdir(self.disk)
        made = subprocess.run(["/sbin/mkfs.ext4", "-q", "-m", "0", image], capture_output=True,
                              check=False)
        mounted = made.returncode == 0 and subprocess.run(
            ["mount", "-o", "loop", image, self.disk], capture_output=True, check=False)
        if not mounted or mounted.returncode != 0:
            self.skipTest("a small disk cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", self.disk], check=False)

    def put(self, key, body):
        reply = self.lean.request("PUT", f"/full/{key}", body=body)
        if reply.status == 200:
            self.acked[key] = hashlib.md5(body).hexdigest()
        else:
            self.assertIn(reply.status, FULL, repr(reply))
            self.assertIn(reply.code, ("StorageFull", "SlowDown", "ServiceUnavailable"))
        return reply.status

    def fill(self, size):
        """Puts until three in a row are refused."""
        refused = index = 0
        while refused < 3:
            self.assertLess(index, 100000)
            refused = 0 if self.put(f"{size}-{index}", os.urandom(size)) == 200 else refused + 1
            index += 1

    def check_all(self):
        listed = self.lean.list_all("full")
        self.assertEqual(set(listed), set(self.acked))
        for key, digest in self.acked.items():
            reply = self.lean.request("GET", f"/full/{key}")
            self.assertEqual((reply.status, hashlib.md5(reply.body).hexdigest()), (200, digest),
                             key)

    def delete(self, keys):
        for key in keys:
            reply = self.lean.request("DELETE", f"/full/{key}")
            self.assertEqual(reply.status, 204, repr(reply))
            del self.acked[key]

    def assert_recovers(self, size):
        until = time.monotonic() + RECOVER_S
        while self.put(f"again-{size}", os.urandom(size)) != 200:
            self.assertLess(time.monotonic(), until, "no space came back")
            time.sleep(0.5)

    def test_filled_by_objects(self):
        self.fill(4 << 20)
        self.fill(100000)
        self.assertGreater(len(self.acked), 10)
        self.check_all()
        self.delete(sorted(self.acked)[::2])
        self.assert_recovers(4 << 20)
        self.check_all()
        self.lean.close()
        self.server.restart()
        self.check_all()

    def test_filled_to_the_last_byte_by_others(self):
        for index in range(20):
            self.put(f"k{index}", os.urandom(1 << 20))
        ballast = os.path.join(self.disk, "ballast")
        self.fill_up(ballast)
        self.fill(1 << 20)
        self.fill(1000)
        self.check_all()
        self.delete(sorted(self.acked)[:5])
        self.check_all()
        os.unlink(ballast)
        self.assert_recovers(1 << 20)
        self.check_all()

    @staticmethod
    def fill_up(path):
        with open(path, "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def test_started_on_a_full_disk(self):
        for index in range(20):
            self.put(f"k{index}", os.urandom(1 << 20))
        self.lean.close()
        self.server.kill()
        ballast = os.path.join(self.disk, "ballast")
        self.fill_up(ballast)
        self.server.start()
        self.check_all()
        self.delete(sorted(self.acked)[:5])
        os.unlink(ballast)
        self.assert_recovers(1 << 20)
        self.check_all()
