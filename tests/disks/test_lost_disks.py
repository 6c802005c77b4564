"""Every subset of disks that a storage class may lose, at a restart: all bytes are there; one more
and the answer is an error, never wrong bytes."""
import itertools
import os
import random
import shutil
import tempfile
import unittest

from harness import ctl
from harness.disks import PlainDisk
from harness.lean import Lean
from harness.server import Server, ServerDied

CELL = 65536
HEAL_LIMIT_S = 60
CHUNK = 64 << 20
# Subsets of each size that are tried; all of them with GOODFS_DISKS_SUBSETS=all.
SUBSETS = os.environ.get("GOODFS_DISKS_SUBSETS", "6")
BIG = int(os.environ.get("GOODFS_DISKS_BIG", "0"))  # bytes of one more, large object


def sizes(k):
    row = k * CELL
    yield from (0, 1, 1000, CELL - 1, CELL, CELL + 1, row - 1, row, row + 1, 3 * row + CELL + 7,
                (128 << 10) + 1, (256 << 10) + 1)


def edges(size, k):
    """Ranges that begin and end around what is rounded."""
    points = {0, 1, CELL - 1, CELL, CELL + 1, k * CELL - 1, k * CELL, k * CELL + 1, size - 1,
              size - 2, size // 2}
    points = sorted(point for point in points if 0 <= point < size)
    for first, last in itertools.combinations_with_replacement(points, 2):
        yield first, last


class Pool:
    """A server on plain disks with objects of one storage class."""

    def __init__(self, count, storage_class, k):
        self.home = tempfile.mkdtemp(prefix="goodfs-disks.")
        self.disks = [PlainDisk(self.home, f"d{index}") for index in range(count)]
        self.server = Server(disks=[disk.path for disk in self.disks])
        self.k, self.rng, self.bodies = k, random.Random(count), {}
        self.server.start()
        lean = Lean(self.server)
        assert lean.request("PUT", "/lost").status == 200
        wanted = list(sizes(k)) + [CHUNK - 1, CHUNK + 1] + ([BIG] if BIG else [])
        for size in wanted:
            body = self.rng.randbytes(size)
            reply = lean.request("PUT", f"/lost/{size}", "",
                                 [("x-amz-storage-class", storage_class)], body)
            assert reply.status == 200, reply
            self.bodies[size] = body
        lean.close()
        self.server.stop()

    def subsets(self, lost):
        every = list(itertools.combinations(range(len(self.disks)), lost))
        if SUBSETS == "all" or len(every) <= int(SUBSETS):
            return every
        return self.rng.sample(every, int(SUBSETS))

    def read_all(self, is_large_too):
        """Problems found, as text."""
        lean = Lean(self.server)
        for size, body in self.bodies.items():
            if size > (1 << 20) and not is_large_too:
                continue
            reply = lean.request("GET", f"/lost/{size}")
            if reply.status != 200 or reply.body != body:
                yield f"{size} bytes: {reply}"
            for first, last in itertools.islice(edges(size, self.k), 12 if size < CHUNK else 4):
                reply = lean.request("GET", f"/lost/{size}", "",
                                     [("Range", f"bytes={first}-{last}")])
                if reply.status != 206 or reply.body != body[first:last + 1]:
                    yield f"{size} bytes, {first}-{last}: {reply}"
        lean.close()

    def close(self):
        self.server.close()
        shutil.rmtree(self.home, ignore_errors=True)


class LostDisks(unittest.TestCase):
    limit_s = 7200 if SUBSETS == "all" else 600 + 20 * int(SUBSETS)

    def check(self, count, storage_class, k, lost_max):
        pool = Pool(count, storage_class, k)
        self.addCleanup(pool.close)
        # Nothing is repaired meanwhile: a missing disk has ten minutes to come back.
        for lost in range(1, lost_max + 1):
            for number, subset in enumerate(pool.subsets(lost)):
                self.start_without(pool, subset)
                for problem in pool.read_all(number == 0 or SUBSETS == "all"):
                    self.fail(f"{storage_class} without {subset}: {problem}")
                pool.server.stop()
                for index in subset:
                    pool.disks[index].bring_back()
                self.heal(pool)
        if lost_max + 1 < count:  # without any disk there is nothing left to judge
            self.check_one_too_many(pool, lost_max + 1)

    def heal(self, pool):
        """What came back is made whole: the next disks are lost by a pool in full health."""
        pool.server.start()
        ctl.await_health(pool.server, HEAL_LIMIT_S)
        pool.server.stop()

    def start_without(self, pool, subset):
        for index in subset:
            pool.disks[index].take_away()
        pool.server.args = ["--allow-minority"]
        pool.server.start()

    def check_one_too_many(self, pool, lost):
        subset = pool.subsets(lost)[0]
        try:
            self.start_without(pool, subset)
        except ServerDied as error:
            self.assertRegex(str(error), "disk|mirror")  # says what is missing
            return
        lean = Lean(pool.server)
        for size, body in pool.bodies.items():
            reply = lean.request("GET", f"/lost/{size}")
            if reply.status == 200:  # copies may be elsewhere
                self.assertEqual(reply.body, body, f"{size} bytes without {subset}")
            else:
                self.assertIn(reply.status, (500, 503), reply)

    def test_two_and_one(self):
        self.check(3, "ec:2+1", 2, 1)

    def test_four_and_two(self):
        self.check(6, "ec:4+2", 4, 2)

    def test_eight_and_three(self):
        self.check(11, "ec:8+3", 8, 3)

    def test_ten_and_four(self):
        self.check(14, "ec:10+4", 10, 4)

    def test_three_copies(self):
        self.check(3, "replica:3", 1, 2)
