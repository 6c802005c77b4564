"""Bytes on a disk change under load: flipped bits, zeroed and swapped blocks, cut files, in log
segments, bulk files and the index. No client ever sees a wrong byte; a scrub finds what is wrong
and repair heals it."""
import os
import random
import time
import unittest

from harness import ctl
from harness.lean import Lean
from test_disk_dies import HEAL_LIMIT_S, SEED, PoolUnderLoad

PLACES = int(os.environ.get("GOODFS_DISKS_FLIPS", "50"))
PER_ROUND = 50
PAGE = 4096


class Vandal:
    """Damages files of one disk at random. What it did is kept for the report."""

    def __init__(self, folder, rng):
        self.folder, self.rng, self.done = folder, rng, []

    def files(self):
        for folder in ("log", "bulk", "."):
            path = os.path.join(self.folder, folder)
            for name in sorted(os.listdir(path)):
                if name.endswith(".seg") or name == "index.ckpt":
                    yield os.path.join(path, name)

    def places(self, path):
        """Ranges with data: holes are no bytes of anybody's."""
        with open(path, "rb") as file:
            size, at = os.fstat(file.fileno()).st_size, 0
            while at < size:
                try:
                    start = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:
                    return
                at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                yield start, at

    def damage(self):
        """One place; answers what was done, None when it changed nothing."""
        path = self.rng.choice(list(self.files()))
        ranges = list(self.places(path))
        if not ranges:
            return None
        start, end = self.rng.choice(ranges)
        act = self.rng.choice((self.flip, self.flip, self.flip, self.zero, self.swap, self.cut))
        with open(path, "r+b", buffering=0) as file:
            changed = act(file, start, end)
            os.fsync(file.fileno())
        if changed:
            self.done.append((act.__name__, os.path.relpath(path, self.folder), changed))
        return changed

    def flip(self, file, start, end):
        at = self.rng.randrange(start, end)
        byte = os.pread(file.fileno(), 1, at)
        if not byte:
            return None
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1 << self.rng.randrange(8)]), at)
        return at

    def zero(self, file, start, end):
        at = self.rng.randrange(start, end) // PAGE * PAGE
        old = os.pread(file.fileno(), PAGE, at)
        os.pwrite(file.fileno(), bytes(len(old)), at)
        return at if any(old) else None

    def swap(self, file, start, end):
        one, two = (self.rng.randrange(start, end) // PAGE * PAGE for _ in range(2))
        first, second = (os.pread(file.fileno(), PAGE, at) for at in (one, two))
        if len(first) != PAGE or len(second) != PAGE or first == second:
            return None
        os.pwrite(file.fileno(), second, one)
        os.pwrite(file.fileno(), first, two)
        return one, two

    def cut(self, file, _start, end):
        """Only the last page or so: a whole missing file is a lost disk."""
        size = os.fstat(file.fileno()).st_size
        if end != size or "bulk" not in file.name:
            return None
        os.ftruncate(file.fileno(), size - self.rng.randrange(1, PAGE))
        return size


class Damage(unittest.TestCase):
    limit_s = 300 + PLACES

    def setUp(self):
        self.rng = random.Random(SEED)
        self.pool = PoolUnderLoad(4, fault_disks=False, args=["--scrub-rate", "1GiB"])
        self.addCleanup(self.pool.close)

    def scrub(self):
        status, out, err = ctl.run(self.pool.server, "scrub", "start")
        self.assertEqual(status, 0, out + err)
        until = time.monotonic() + HEAL_LIMIT_S
        while ctl.ask(self.pool.server, "scrub", "status")["scrub"]["is_running"]:
            self.assertLess(time.monotonic(), until, "the scrub does not end")
            time.sleep(0.2)
        ctl.await_health(self.pool.server, HEAL_LIMIT_S)

    def fill(self):
        """Chunks of every kind, whole when the damage comes."""
        self.pool.load()
        time.sleep(2)
        self.pool.end_load()

    def round(self, disk):
        pool = self.pool
        vandal = Vandal(disk.real, self.rng)
        pool.load()
        while len(vandal.done) < PER_ROUND:
            vandal.damage()
        time.sleep(1)
        pool.end_load()
        self.scrub()
        self.scrub()  # what the first one wrote anew, and what was found while it ran
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, f"{vandal.done}: {out}{err}")
        return vandal.done

    def test_damage_is_healed_and_never_served(self):
        self.fill()
        done = []
        while len(done) < PLACES:
            done += self.round(self.rng.choice(self.pool.disks))
        self.assertEqual(self.pool.failed_reads(), {})
        keys = self.pool.audit()
        self.pool.server.restart()
        ctl.await_health(self.pool.server, HEAL_LIMIT_S)
        self.pool.audit()
        found = ctl.ask(self.pool.server, "scrub", "status")["scrub"]["found"]
        print(f"damage: {len(done)} places, {keys} keys audited, {found} found since the last "
              "start", flush=True)
        self.assertEqual(Lean(self.pool.server).request("GET", "/").status, 200)
