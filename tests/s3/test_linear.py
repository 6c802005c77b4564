"""Reads and listings of keys that many clients write: each key is a linearizable register."""
import concurrent.futures
import hashlib
import itertools
import os
import random
import threading
import time
import unittest

from harness.case import S3Case
from harness.lean import Lean
from register import Operation, find_fault

THREADS = 6
SECONDS = float(os.environ.get("GOODFS_LINEAR_SECONDS", "5"))
KEYS = ("one", "two")


class Judge(unittest.TestCase):
    """The judge itself."""

    def assert_fault(self, words, *history):
        fault = find_fault([Operation(*operation) for operation in history])
        self.assertIsNotNone(fault)
        self.assertIn(words, fault)

    def assert_good(self, *history):
        self.assertIsNone(find_fault([Operation(*operation) for operation in history]))

    def test_it_accepts_what_a_register_may_show(self):
        self.assert_good(("write", 1, 0, 1), ("read", 1, 2, 3), ("write", 2, 4, 5),
                         ("read", 2, 6, 7))
        self.assert_good(("write", 1, 0, 1), ("write", 2, 2, 9), ("read", 2, 3, 4),
                         ("read", 2, 5, 6))
        self.assert_good(("write", 1, 0, 1), ("write", 2, 2, 9), ("read", 1, 3, 4),
                         ("read", 2, 5, 6))

    def test_it_sees_what_a_register_may_not_show(self):
        self.assert_fault("came and went", ("write", 1, 0, 1), ("write", 2, 2, 3),
                          ("read", 1, 4, 5))
        self.assert_fault("same time", ("write", 1, 0, 1), ("write", 2, 2, 9), ("read", 2, 3, 4),
                          ("read", 1, 5, 6), ("read", 2, 7, 8))
        self.assert_fault("before it was written", ("read", 1, 0, 1), ("write", 1, 2, 3))
        self.assert_fault("written 0 times", ("read", 7, 0, 1))


class Linear(S3Case):
    def setUp(self):
        super().setUp()
        self.own = self.new_bucket()
        self.histories = {key: [] for key in KEYS}
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        for key in KEYS:
            self.write(Lean(self.server), key)

    def note(self, key, kind, value, began):
        with self.lock:
            self.histories[key].append(Operation(kind, value, began, time.monotonic()))

    def write(self, lean, key):
        body = b"%s %d" % (key.encode(), next(self.numbers)) * 50
        began = time.monotonic()
        reply = lean.request("PUT", f"/{self.own}/{key}", body=body)
        self.assertEqual(reply.status, 200)
        self.note(key, "write", hashlib.md5(body).hexdigest(), began)

    def read(self, lean, key):
        began = time.monotonic()
        reply = lean.request("GET", f"/{self.own}/{key}")
        self.assertEqual(reply.status, 200)
        digest = hashlib.md5(reply.body).hexdigest()
        self.assertEqual(reply.headers["etag"], f'"{digest}"')
        self.note(key, "read", digest, began)

    def list(self, lean):
        began = time.monotonic()
        shown = lean.list_all(self.own)
        self.assertEqual(set(shown), set(KEYS))
        for key, (etag, _) in shown.items():
            self.note(key, "read", etag.strip('"'), began)

    def client(self, seed):
        rng, lean = random.Random(seed), Lean(self.server)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            choice = rng.random()
            if choice < 0.4:
                self.write(lean, rng.choice(KEYS))
            elif choice < 0.9:
                self.read(lean, rng.choice(KEYS))
            else:
                self.list(lean)
        lean.close()

    def test_keys_are_linearizable_under_concurrent_writers_readers_and_listings(self):
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self.client, range(THREADS)))
        for key, history in self.histories.items():
            self.assertGreater(len(history), 100)
            self.assertIsNone(find_fault(history), key)
