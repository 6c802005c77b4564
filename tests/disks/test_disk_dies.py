"""A disk dies under mixed load: no read fails, nothing acknowledged is lost, and redundancy comes
back by itself or with a fresh disk."""
import collections
import os
import random
import shutil
import tempfile
import threading
import time
import unittest

from harness import ctl, disks
from harness.lean import Lean
from harness.server import Server
from history import ABSENT, History, Values
from load import BUCKET, Uploads, Worker, path_of

WORKERS = 4
LOAD_S = float(os.environ.get("GOODFS_DISKS_LOAD_SECONDS", "3"))
HEAL_LIMIT_S = 60
NOTICED_S = 10
LEFT_OPEN_LIMIT_S = 40  # of a stop: 10 for calls, 15 for metadata, 3 for the rest, a slow machine
ADMIN_LIMIT_S = 100  # two calls, one after the other, 30 for each
HANG_PUT_LIMIT_S = 8  # of a PUT while a disk hangs: 2 to give it up, the rest for the machine
SEED = int(os.environ.get("GOODFS_DISKS_SEED", "0")) or random.randrange(1 << 20)


class PoolUnderLoad:
    """A server on disks that can fail, workers that judge every answer, and a last audit."""

    def __init__(self, count, fault_disks=True, args=(), seed=SEED):
        self.home = tempfile.mkdtemp(prefix="goodfs-disks.")
        kind = disks.FaultDisk if fault_disks else disks.PlainDisk
        self.disks = [kind(self.home, f"d{index}") for index in range(count)]
        self.server = Server(disks=[disk.path for disk in self.disks],
                             args=["--missing-grace-seconds", "5", *args],
                             env={"GOODFS_GC_GRACE_SECONDS": "1"})
        self.history, self.uploads = History(Values(seed)), Uploads()
        self.answers, self.seed, self.workers = collections.Counter(), seed, []
        self.server.start()
        assert Lean(self.server).request("PUT", f"/{BUCKET}").status == 200
        self.stop_event = threading.Event()

    def load(self):
        self.stop_event.clear()
        self.seed += 1000
        self.workers = [Worker(self.server, self.history, self.uploads, self.seed + index,
                               self.stop_event) for index in range(WORKERS)]
        for worker in self.workers:
            worker.start()

    def end_load(self):
        self.stop_event.set()
        for worker in self.workers:
            worker.join()
            self.answers.update(worker.answers)
        for worker in self.workers:
            if worker.errors:
                raise worker.errors[0]
        self.workers = []

    def failed_reads(self):
        return {answer: count for answer, count in self.answers.items()
                if answer[0] == "get" and answer[1] not in (200, 404)}

    def metadata_disk(self):
        """Index of the disk that holds the live database."""
        live = ctl.ask(self.server, "status")["metadata"]["live"]
        return [disk.path for disk in self.disks].index(live)

    def audit(self):
        """Every key has a value it may have, and its bytes."""
        lean = Lean(self.server)
        found = {}
        for key, (etag, size) in lean.list_all(BUCKET).items():
            number = self.history.values.number_of(etag)
            if number is None or self.history.values.known[number][1] != size:
                raise AssertionError(f"{key} is listed with {etag}, {size} bytes: never written")
            found[key] = number
        with self.history.lock:
            names = set(self.history.keys)
        for key in names | set(found):
            self.check_key(lean, key, found.get(key, ABSENT))
        lean.close()
        return len(names | set(found))

    def check_key(self, lean, key, value):
        allowed = self.history.possible(key)
        sources = [mark[len("any of "):] for mark in allowed if isinstance(mark, str)]
        if value not in allowed and not any(value in self.history.ever(s) for s in sources):
            raise AssertionError(f"{key} has value {value}, allowed {allowed}")
        reply = lean.request("GET", path_of(key))
        if value == ABSENT:
            if reply.status != 404:
                raise AssertionError(f"{key} is not listed but answers {reply.status}")
        elif reply.status != 200 or not self.history.values.is_body(value, reply.body):
            raise AssertionError(f"{key}: wrong bytes of value {value}: {reply}")

    def close(self):
        self.stop_event.set()
        for worker in self.workers:
            worker.join()
        for disk in self.disks:
            if isinstance(disk, disks.FaultDisk):
                disk.set()
        self.server.kill()
        self.server.close()
        for disk in self.disks:
            disk.close()
        shutil.rmtree(self.home, ignore_errors=True)


@unittest.skipUnless(disks.faultfs(), "no faultfs: libfuse3 or /dev/fuse is missing")
class DiskDies(unittest.TestCase):
    limit_s = 500

    def check(self, count, break_disk, which, mend=None):
        """mend: None = the others take over."""
        pool = PoolUnderLoad(count)
        self.addCleanup(pool.close)
        pool.load()
        time.sleep(LOAD_S / 2)
        index = pool.metadata_disk() if which == "metadata" else \
            (pool.metadata_disk() + count - 1) % count
        break_disk(pool.disks[index])
        time.sleep(LOAD_S)
        if mend is not None:
            mend(pool, index)
        healed = ctl.await_health(pool.server, HEAL_LIMIT_S)
        time.sleep(LOAD_S / 2)
        pool.end_load()
        self.assertEqual(pool.failed_reads(), {})
        keys = pool.audit()
        print(f"{self.id().split('.')[-1]}: {pool.history.acked} changes acknowledged, "
              f"{pool.history.refused} refused, {keys} keys audited, healed {healed:.1f} s after "
              f"the fault was mended or left", flush=True)
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err)
        pool.server.restart()
        pool.audit()

    def test_errors_on_a_data_disk(self):
        self.check(7, disks.FaultDisk.fail, "data")

    def test_errors_on_the_disk_with_the_metadata(self):
        self.check(7, disks.FaultDisk.fail, "metadata")

    def test_errors_that_go_away_on_a_disk_that_is_missed(self):
        """No other disk can take its place: it is taken back when it works again."""
        def mend(pool, index):
            time.sleep(2)
            pool.disks[index].mend()
        self.check(6, disks.FaultDisk.fail, "data", mend)

    def test_errors_in_reading_of_a_disk_that_is_idle(self):
        pool = PoolUnderLoad(4)
        self.addCleanup(pool.close)
        pool.load()
        time.sleep(LOAD_S)
        pool.end_load()
        ctl.await_health(pool.server, HEAL_LIMIT_S)
        index = (pool.metadata_disk() + 3) % 4  # of four the one without a copy of the metadata
        pool.disks[index].set(disks.READ_ERROR)
        begun = time.monotonic()
        state = "active"
        while state == "active":
            self.assertLess(time.monotonic() - begun, NOTICED_S, "nobody reads from it")
            time.sleep(0.1)
            state = {disk["path"]: disk["state"] for disk in
                     ctl.ask(pool.server, "disk", "ls")["disks"]}[pool.disks[index].path]
        self.assertEqual(state, "failed")
        pool.disks[index].set()
        ctl.await_health(pool.server, HEAL_LIMIT_S)
        pool.audit()

    def test_a_disk_that_hangs_for_a_while(self):
        """The load goes on without it; what waits for its answers ends with the hanging."""
        def release(pool, index):
            time.sleep(4)
            pool.disks[index].set()
        self.check(7, lambda disk: disk.set(disks.HANG), "data", release)

    def test_a_disk_that_hangs_for_ever(self):
        """Nobody waits for it but those inside it: neither clients, nor repair, nor a stop."""
        self.check_hang("data")

    def test_the_disk_with_the_metadata_hangs_for_ever(self):
        self.check_hang("metadata")

    def check_hang(self, which):
        pool = PoolUnderLoad(7)
        self.addCleanup(pool.close)
        lean = Lean(pool.server)
        self.assertEqual(lean.request("PUT", f"/{BUCKET}-large").status, 200)
        pool.load()
        time.sleep(LOAD_S / 2)
        index = (pool.metadata_disk() + (6 if which == "data" else 0)) % 7
        status, out, err = ctl.run(pool.server, "scrub", "start")  # it is inside, too
        self.assertEqual(status, 0, out + err)
        timer = threading.Timer(LOAD_S / 4, pool.disks[index].hang)
        timer.start()
        slowest = self.put_large(lean, 8 << 20, LOAD_S + 2)
        timer.join()
        self.assertLess(slowest, HANG_PUT_LIMIT_S)
        healed = ctl.await_health(pool.server, HEAL_LIMIT_S)
        time.sleep(LOAD_S / 2)
        pool.end_load()
        self.assertEqual(pool.failed_reads(), {})
        keys = pool.audit()
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err)
        print(f"{self.id().split('.')[-1]}: {pool.history.acked} changes acknowledged, "
              f"{pool.history.refused} refused, {keys} keys audited, slowest PUT {slowest:.1f} s, "
              f"healed {healed:.1f} s after the last of them", flush=True)
        pool.server.stop(lambda: self.await_left_open(pool, index))
        pool.server.start()
        pool.audit()

    def test_a_stop_when_the_disk_with_the_metadata_begins_to_hang(self):
        """Nobody has noticed yet; clients are still there."""
        pool = PoolUnderLoad(4)
        self.addCleanup(pool.close)
        pool.load()
        time.sleep(LOAD_S / 2)
        index = pool.metadata_disk()
        pool.disks[index].hang()
        begun = time.monotonic()
        pool.server.stop(lambda: self.await_left_open(pool, index))
        print(f"{self.id().split('.')[-1]}: stopped after {time.monotonic() - begun:.1f} s",
              flush=True)
        pool.stop_event.set()
        pool.server.start()
        pool.end_load()
        pool.audit()

    def test_admin_calls_that_hang_are_given_up_and_the_others_go_on(self):
        """disk add of a place that hangs, as often as one likes; and a disk of the pool that
        hangs is replaced all the same."""
        pool = PoolUnderLoad(4)
        self.addCleanup(pool.close)
        stray = disks.FaultDisk(pool.home, "stray")
        pool.disks.append(stray)
        stray.hang()
        adds = [threading.Thread(target=self.expect_given_up, args=(pool, stray.path))
                for _ in range(2)]
        for thread in adds:
            thread.start()
        until = time.monotonic() + ADMIN_LIMIT_S
        while any(thread.is_alive() for thread in adds):
            for words in (("status",), ("health",), ("disk", "ls")):
                begun = time.monotonic()
                ctl.ask(pool.server, *words)
                self.assertLess(time.monotonic() - begun, 5, words)
            self.assertLess(time.monotonic(), until, "a call is not given up")
            time.sleep(0.5)
        self.assertEqual(self.given_up, 2)
        self.assertEqual(self.put(pool).status, 200)
        pool.disks[1].hang()
        begun = time.monotonic()
        ctl.run(pool.server, "object", "info", f"{BUCKET}/new", "--verify")
        self.assertLess(time.monotonic() - begun, ADMIN_LIMIT_S / 2)
        pool.disks.append(disks.FaultDisk(pool.home, "fresh"))
        begun = time.monotonic()
        status, out, err = ctl.run(pool.server, "disk", "replace", "1", pool.disks[-1].path)
        self.assertEqual(status, 0, out + err)
        self.assertLess(time.monotonic() - begun, 25, "the one that hangs is waited for")
        print(f"{self.id().split('.')[-1]}: replaced in {time.monotonic() - begun:.1f} s",
              flush=True)
        ctl.await_health(pool.server, HEAL_LIMIT_S)
        begun = time.monotonic()
        pool.server.stop(lambda: self.await_left_open(pool, 1, stray))
        print(f"{self.id().split('.')[-1]}: stopped in {time.monotonic() - begun:.1f} s",
              flush=True)

    given_up = 0

    def expect_given_up(self, pool, path):
        status, out, err = ctl.run(pool.server, "disk", "add", path)
        self.given_up += status != 0 and "does not answer" in out + err

    def put_large(self, lean, size, seconds):
        """Large objects, one after the other, all acknowledged; seconds that the slowest took."""
        slowest, until = 0, time.monotonic() + seconds
        number, body = 0, os.urandom(size)
        while time.monotonic() < until:
            begun = time.monotonic()
            reply = lean.request("PUT", f"/{BUCKET}-large/{number}", body=body)
            self.assertEqual(reply.status, 200, reply)
            slowest = max(slowest, time.monotonic() - begun)
            number += 1
        lean.close()
        return slowest

    def await_left_open(self, pool, index, *others):
        """The server is done with all but the disk; then the disk is ended under it."""
        until = time.monotonic() + LEFT_OPEN_LIMIT_S
        while "left open" not in pool.server.log():
            self.assertLess(time.monotonic(), until, "the server waits for the disk")
            time.sleep(0.1)
        for disk in (pool.disks[index], *others):
            disk.abandon()

    def test_a_disk_that_is_emptied_is_filled_again(self):
        self.check(4, disks.FaultDisk.empty, "data")

    def test_an_emptied_metadata_disk_is_filled_again(self):
        self.check(4, disks.FaultDisk.empty, "metadata")

    def test_flush_errors_on_the_disk_with_the_metadata(self):
        self.check(5, lambda disk: disk.set(disks.FSYNC_ERROR, disks.WRITE_ERROR), "metadata")

    def put(self, pool):
        return Lean(pool.server).request("PUT", f"/{BUCKET}/new", body=b"x" * 300000)

    def await_reads(self, pool):
        """Of all that is listed."""
        lean, until = Lean(pool.server), time.monotonic() + HEAL_LIMIT_S
        for key in lean.list_all(BUCKET):
            while lean.request("GET", path_of(key)).status != 200:
                self.assertLess(time.monotonic(), until, f"{key} is not read")
                time.sleep(0.2)

    def test_when_every_disk_fails_nothing_wrong_is_said_and_all_is_read_when_they_are_back(self):
        pool = PoolUnderLoad(6)
        self.addCleanup(pool.close)
        pool.load()
        time.sleep(LOAD_S / 2)
        for disk in pool.disks:
            disk.set(disks.WRITE_ERROR, disks.FSYNC_ERROR)
        time.sleep(LOAD_S)
        status, out, _ = ctl.run(pool.server, "health")
        reply = self.put(pool)
        pool.end_load()
        self.assertEqual(status, 1, out)
        self.assertRegex(out, "read-only: .*disk")
        self.assertEqual(reply.status, 503, reply)
        self.assertEqual(pool.failed_reads(), {})
        for disk in pool.disks:
            disk.set()
        self.await_reads(pool)
        if ctl.run(pool.server, "health")[0] != 0:  # the fate of some change is open
            self.assertNotEqual(self.put(pool).status, 200)
            pool.server.restart()
        ctl.await_health(pool.server, HEAL_LIMIT_S)
        self.assertEqual(self.put(pool).status, 200)
        reply = Lean(pool.server).request("DELETE", f"/{BUCKET}/new")
        self.assertEqual(reply.status, 204, reply)
        pool.audit()
        status, out, err = ctl.run(pool.server, "fsck", "--wait", "--json")
        self.assertEqual(status, 0, out + err)
        pool.server.restart()
        pool.audit()

    def test_a_dead_disk_is_replaced_by_the_operator(self):
        def replace(pool, index):
            dead = pool.disks[index].path
            pool.disks.append(disks.FaultDisk(pool.home, "fresh"))
            status, out, err = ctl.run(pool.server, "disk", "replace", dead, pool.disks[-1].path)
            self.assertEqual(status, 0, out + err)
            pool.server.disks[index] = pool.disks[-1].path
        self.check(4, disks.FaultDisk.fail, "data", replace)
