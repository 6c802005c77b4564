"""kill -9 at random while disks are replaced, drained, added and rebalanced under load: nothing
acknowledged is lost, what was begun is finished after the restart, and the audit both ways is
clean."""
import json
import os
import random
import time
import unittest

from harness import ctl
from harness.disks import PlainDisk
from test_disk_dies import HEAL_LIMIT_S, SEED, PoolUnderLoad

KILLS = int(os.environ.get("GOODFS_DISKS_KILLS", "6"))


class RepairKills(unittest.TestCase):
    limit_s = 120 + 60 * KILLS

    def setUp(self):
        self.rng = random.Random(SEED)
        self.pool = PoolUnderLoad(6, fault_disks=False)
        self.addCleanup(self.pool.close)
        self.fresh = 0

    def new_disk(self):
        self.fresh += 1
        disk = PlainDisk(self.pool.home, f"fresh{self.fresh}")
        self.pool.disks.append(disk)
        return disk

    def ctl(self, *words):
        status, out, err = ctl.run(self.pool.server, *words)
        self.assertEqual(status, 0, f"{words}: {out}{err}")

    # ---- what an operator does; each leaves work for the background ----
    def empty_one(self):
        self.rng.choice(self.pool.disks).empty()

    def drain_one(self):
        """A new disk comes, an old one goes."""
        disk = self.new_disk()
        self.ctl("disk", "add", disk.path)
        self.pool.server.disks.append(disk.path)
        old = self.rng.choice(self.pool.disks[:-1])
        self.ctl("disk", "drain", old.path)
        return old

    def add_and_rebalance(self):
        disk = self.new_disk()
        self.ctl("disk", "add", disk.path)
        self.pool.server.disks.append(disk.path)
        self.ctl("rebalance", "start")

    def check_balance(self):
        """It was asked for once, before the kills: it goes on until the disks are even."""
        until = time.monotonic() + HEAL_LIMIT_S
        while ctl.ask(self.pool.server, "rebalance", "status")["rebalance"]["is_running"]:
            self.assertLess(time.monotonic(), until, "the rebalance does not end")
            time.sleep(0.2)
        slots = [disk["slots"] for disk in ctl.ask(self.pool.server, "disk", "ls")["disks"]
                 if disk["state"] == "active"]
        mean = sum(slots) / len(slots)
        self.assertTrue(all(abs(count - mean) <= 0.1 * mean for count in slots), slots)

    def retire(self, disk):
        """The drained disk is empty of everything that counts: it is taken out."""
        self.pool.server.disks.remove(disk.path)
        self.pool.disks.remove(disk)
        disk.close()

    def round(self, act):
        pool = self.pool
        pool.load()
        time.sleep(self.rng.uniform(0.3, 1.0))
        old = act()
        for _ in range(2):
            time.sleep(self.rng.uniform(0.05, 1.5))
            pool.server.check_alive()
            pool.server.kill()
            pool.end_load()
            pool.server.start()
            pool.load()
        healed = ctl.await_health(pool.server, HEAL_LIMIT_S)
        pool.end_load()
        if act == self.add_and_rebalance:
            self.check_balance()
        keys = pool.audit()
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err + self.details(out))
        if old is not None:
            self.retire(old)
            pool.server.restart()
            pool.audit()
        print(f"{act.__name__}: two kills, {keys} keys audited, healed {healed:.1f} s after the "
              "last start", flush=True)

    def details(self, out):
        """Of the first object that fsck complains of, for the report of a failure."""
        found = json.loads(out)["fsck"]["objects"] if out else []
        if not found:
            return ""
        name = f"{found[0]['bucket']}/{found[0]['key']}"
        return "".join(ctl.run(self.pool.server, *words, "--json")[1] for words in (
            ("object", "info", name), ("disk", "ls"), ("repair", "status")))

    def test_nothing_is_lost_and_everything_is_finished(self):
        acts = [self.empty_one, self.drain_one, self.add_and_rebalance]
        for number in range(max(1, KILLS // 2)):
            self.round(acts[number % len(acts)])
