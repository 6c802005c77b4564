"""While disks fail, hang and return, the one with the metadata among them, each key stays a
linearizable register: no read goes back in time when another copy of the metadata takes over."""
import os
import random
import shutil
import tempfile
import threading
import time
import unittest

from harness import ctl, disks
from harness.lean import Lean
from harness.linear import Clients
from harness.server import Server

COUNT = 6
SECONDS = float(os.environ.get("GOODFS_LINEAR_SECONDS", "20"))
HEAL_LIMIT_S = 180  # a disk that failed again and again is tried ever later
STUCK_S = 5
SEED = int(os.environ.get("GOODFS_DISKS_SEED", "0")) or random.randrange(1 << 20)


class Trouble(threading.Thread):
    """One disk after another fails in its own way for a while; at most two at a time."""

    def __init__(self, server, faulty, until):
        super().__init__(name="trouble")
        self.server, self.disks, self.until = server, faulty, until
        self.rng, self.done, self.error = random.Random(SEED), [], None

    def run(self):
        try:
            bad = []
            while time.monotonic() < self.until:
                index = self.choose()
                if index not in bad:
                    self.done.append((index, self.break_one(self.disks[index])))
                    bad.append(index)
                time.sleep(self.rng.uniform(0.5, 2.5))
                while len(bad) > 1 or (bad and self.rng.random() < 0.3):
                    self.disks[bad.pop(0)].mend()
        except Exception as error:  # reported by the main thread
            self.error = error
        finally:
            for disk in self.disks:
                disk.mend()

    def choose(self):
        """Every second time the disk with the live metadata."""
        if self.rng.random() < 0.5:
            return self.rng.randrange(COUNT)
        live = ctl.ask(self.server, "status")["metadata"]["live"]
        return [disk.path for disk in self.disks].index(live)

    def break_one(self, disk):
        kind = self.rng.choice(("fail", "write", "flush", "hang", "slow"))
        if kind == "fail":
            disk.fail()
        elif kind == "write":
            disk.set(disks.WRITE_ERROR)
        elif kind == "flush":
            disk.set(disks.FSYNC_ERROR)
        elif kind == "hang":
            disk.set(disks.HANG)
        else:
            disk.delay(300)
        return kind


@unittest.skipUnless(disks.faultfs(), "no faultfs: libfuse3 or /dev/fuse is missing")
class LinearDisks(unittest.TestCase):
    limit_s = 400 + int(SECONDS)

    def test_keys_are_linearizable_while_disks_fail_and_return(self):
        print(f"seed {SEED}", flush=True)
        home = tempfile.mkdtemp(prefix="goodfs-disks.")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        faulty = [disks.FaultDisk(home, f"d{index}") for index in range(COUNT)]
        for disk in faulty:
            self.addCleanup(disk.close)
        server = Server(disks=[disk.path for disk in faulty],
                        args=["--missing-grace-seconds", "600"])
        self.addCleanup(server.close)
        self.addCleanup(server.kill)
        server.start()
        self.assertEqual(Lean(server).request("PUT", "/linear").status, 200)
        clients = Clients(server, "linear", (400, 70000, 300000), may_fail=True)
        trouble = Trouble(server, faulty, time.monotonic() + SECONDS)
        trouble.start()
        clients.run(SECONDS, SEED)
        trouble.join()
        print(f"{trouble.done}; {clients.refused} refused, "
              f"{[len(history) for history in clients.histories.values()]} operations", flush=True)
        self.assertIsNone(trouble.error)
        self.assertEqual(clients.faults(), {})
        self.heal(server)
        clients.may_fail = False
        clients.run(1, SEED + 1)
        self.assertEqual(clients.faults(), {})

    def heal(self, server):
        """A change whose fate is open may need a restart; nothing else does."""
        begun, stuck_since = time.monotonic(), None
        while True:
            status, out, err = ctl.run(server, "health")
            now = time.monotonic()
            if status == 0:
                break
            self.assertLess(now - begun, HEAL_LIMIT_S, out + err)
            stuck_since = (stuck_since or now) if "restart the server" in out else None
            if stuck_since is not None and now - stuck_since > STUCK_S:
                print(f"restarted: {out}", flush=True)
                server.restart()
                begun, stuck_since = time.monotonic(), None
            time.sleep(0.2)
        print(f"healed {now - begun:.1f} s after the last fault", flush=True)
