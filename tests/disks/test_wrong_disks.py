"""Disks that are not what they should be: older copies of themselves, the same one twice, those of
another cluster, directories of something else. They are refused with the reason, nothing of them or
of the others is changed, and with the right ones everything is as it was."""
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import ctl
from harness.disks import PlainDisk
from harness.lean import Lean
from harness.server import Server, ServerDied

SIZES = (100, 300 << 10, 3 << 20)
HEAL_LIMIT_S = 60


class Pool:
    """A server on plain disks, and what is in it."""

    def __init__(self, count, home=None):
        self.home = home or tempfile.mkdtemp(prefix="goodfs-disks.")
        self.disks = [PlainDisk(self.home, f"d{index}") for index in range(count)]
        self.server = Server(disks=[disk.path for disk in self.disks])
        self.rng = random.Random(count)
        self.bodies = {}
        self.lean = None
        self.start()
        assert self.lean.request("PUT", "/wrong").status == 200

    def start(self):
        self.server.start()
        self.lean = Lean(self.server)

    def stop(self):
        if self.lean is not None:
            self.lean.close()
            self.lean = None
        self.server.stop()

    def put(self, count):
        for _ in range(count):
            key = f"k{len(self.bodies)}"
            body = self.rng.randbytes(SIZES[len(self.bodies) % len(SIZES)])
            assert self.lean.request("PUT", f"/wrong/{key}", body=body).status == 200
            self.bodies[key] = body
        assert self.lean.request("DELETE", f"/wrong/{key}").status == 204
        del self.bodies[key]

    def kill(self):
        self.lean.close()
        self.lean = None
        self.server.kill()

    def close(self):
        self.stop()
        self.server.close()
        shutil.rmtree(self.home, ignore_errors=True)


class WrongDisks(unittest.TestCase):
    def make(self, count=4):
        pool = Pool(count)
        self.addCleanup(pool.close)
        pool.put(6)
        return pool

    def audit(self, pool):
        for key, body in pool.bodies.items():
            reply = pool.lean.request("GET", f"/wrong/{key}")
            self.assertEqual((reply.status, reply.body == body), (200, True), key)
        names = re.findall(r"<Key>([^<]*)</Key>",
                           pool.lean.request("GET", "/wrong").body.decode())
        self.assertEqual(sorted(names), sorted(pool.bodies))

    def expect_whole(self, pool):
        ctl.await_health(pool.server, HEAL_LIMIT_S)
        self.audit(pool)
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err)

    def expect_refused(self, pool, why):
        with self.assertRaises(ServerDied) as caught:
            pool.start()
        self.assertRegex(str(caught.exception), why)

    def copy(self, pool, index):
        copied = os.path.join(pool.home, "copy")
        # what a server that runs renames or deletes meanwhile is not in it
        subprocess.run(["cp", "-r", pool.disks[index].path, copied], check=False,
                       capture_output=True)
        return copied

    def check_older_copy(self, is_running):
        pool = self.make()
        if not is_running:
            pool.stop()
        copied = self.copy(pool, 1)
        if not is_running:
            pool.start()
        pool.put(6)
        pool.stop()
        disk = pool.disks[1]
        disk.take_away()
        os.rename(copied, disk.path)
        self.expect_refused(pool, "is an older copy of disk 1: its map is version")
        shutil.rmtree(disk.path)
        disk.bring_back()
        pool.start()
        self.expect_whole(pool)

    def test_an_older_copy_of_before_the_last_run_is_refused(self):
        self.check_older_copy(is_running=False)

    def test_an_older_copy_that_was_made_during_the_last_run_is_refused(self):
        self.check_older_copy(is_running=True)

    def test_an_older_copy_of_just_before_a_kill_is_healed(self):
        """No other disk can tell: what it lacks is made anew, what was deleted stays so."""
        for index in range(4):
            with self.subTest(disk=index):
                pool = self.make()
                copied = self.copy(pool, index)
                pool.put(6)
                pool.kill()
                disk = pool.disks[index]
                shutil.rmtree(disk.path)
                os.rename(copied, disk.path)
                pool.start()
                self.audit(pool)
                self.expect_whole(pool)

    def test_an_older_copy_is_not_taken_back_by_a_server_that_runs(self):
        pool = self.make()
        pool.stop()
        copied = self.copy(pool, 2)
        pool.start()
        pool.put(6)
        disk = pool.disks[2]
        disk.take_away()
        os.rename(copied, disk.path)
        until = time.monotonic() + HEAL_LIMIT_S
        while "is an older copy of disk 2" not in pool.server.log():
            self.assertLess(time.monotonic(), until, pool.server.log()[-3000:])
            time.sleep(0.2)
        self.audit(pool)
        status, out, _ = ctl.run(pool.server, "health")
        self.assertEqual(status, 1, out)
        os.rename(disk.path, copied)
        disk.bring_back()
        self.expect_whole(pool)

    def test_a_disk_that_is_there_twice_is_refused(self):
        pool = self.make()
        pool.stop()
        copied = self.copy(pool, 3)
        pool.server.disks = [*pool.server.disks, copied]
        self.expect_refused(pool, "same disk id")
        pool.server.disks = pool.server.disks[:-1]
        pool.start()
        self.expect_whole(pool)

    def test_a_disk_of_another_cluster_is_refused(self):
        pool, other = self.make(), self.make()
        pool.stop()
        other.stop()
        disk, foreign = pool.disks[0], other.disks[0]
        disk.take_away()
        foreign.take_away()
        os.rename(foreign.path + ".away", disk.path)
        self.expect_refused(pool, "belongs to cluster")
        os.rename(disk.path, foreign.path)
        disk.bring_back()
        for one in (pool, other):
            one.start()
            self.expect_whole(one)

    def test_a_directory_of_something_else_is_refused(self):
        pool = self.make()
        pool.stop()
        disk = pool.disks[1]
        disk.take_away()
        os.makedirs(disk.path)
        letter = os.path.join(disk.path, "letter.txt")
        with open(letter, "w", encoding="utf-8") as file:
            file.write("dear all\n")
        self.expect_refused(pool, "holds files of something else")
        self.assertEqual(os.listdir(disk.path), ["letter.txt"])
        shutil.rmtree(disk.path)
        disk.bring_back()
        pool.start()
        self.expect_whole(pool)

    def test_a_flipped_bit_in_a_small_file_costs_nothing(self):
        """In the identity, the map, the state of the scrub, the checkpoint of the index."""
        pool = self.make()
        rng = random.Random(5)
        for index in (0, 1, 3):
            for name in ("identity", "pool.json", "scrub.json", "index.ckpt"):
                pool.stop()
                path = os.path.join(pool.disks[index].path, name)
                with open(path, "r+b", buffering=0) as file:
                    size = os.fstat(file.fileno()).st_size
                    at = rng.randrange(size)
                    byte = os.pread(file.fileno(), 1, at)[0] ^ 1 << rng.randrange(8)
                    os.pwrite(file.fileno(), bytes([byte]), at)
                with self.subTest(disk=index, name=name, at=at, size=size, byte=byte):
                    pool.start()
                    self.expect_whole(pool)

    def test_paths_may_be_swapped(self):
        pool = self.make()
        pool.stop()
        pool.disks[0].take_away()
        os.rename(pool.disks[3].path, pool.disks[0].path)
        os.rename(pool.disks[0].path + ".away", pool.disks[3].path)
        pool.start()
        self.expect_whole(pool)
