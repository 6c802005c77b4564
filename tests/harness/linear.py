"""Clients that write, read and list a few keys at the same time, and the history of each key."""
import concurrent.futures
import hashlib
import itertools
import random
import threading
import time

from harness.lean import Gone, Lean
from harness.register import Operation, find_fault

THREADS = 6
KEYS = ("one", "two")
NEVER = float("inf")


class Clients:
    """All of them, on one bucket that is there. sizes: of bodies. With may_fail, answers of 5xx
    are allowed: a write that got one may have happened or not, or happen later."""

    def __init__(self, server, bucket, sizes=(400,), may_fail=False):
        self.server, self.bucket, self.sizes, self.may_fail = server, bucket, sizes, may_fail
        self.histories = {key: [] for key in KEYS}
        self.refused = 0
        self.lock, self.numbers = threading.Lock(), itertools.count()
        lean = Lean(server)
        for key in KEYS:
            self.write(lean, key, sizes[0])
        lean.close()

    def run(self, seconds, seed=0):
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda index: self._client(seed * THREADS + index, seconds),
                          range(THREADS)))

    def faults(self):
        """What was seen that no register shows, in words, by key."""
        found = {key: find_fault(history) for key, history in self.histories.items()}
        return {key: fault for key, fault in found.items() if fault is not None}

    def _note(self, key, kind, value, began, ended):
        with self.lock:
            self.histories[key].append(Operation(kind, value, began, ended))

    def _is_refusal(self, reply):
        if self.may_fail and reply.status in (500, 503):
            with self.lock:
                self.refused += 1
            return True
        if reply.status != 200:
            raise AssertionError(f"{reply}")
        return False

    def _ask(self, lean, *request, **more):
        """None: the connection broke, which only clients that may fail live with."""
        try:
            return lean.request(*request, **more)
        except Gone:
            if not self.may_fail:
                raise
            return None

    def write(self, lean, key, size):
        body = (b"%s %d " % (key.encode(), next(self.numbers))).ljust(size, b".")
        value = hashlib.md5(body).hexdigest()
        began = time.monotonic()
        reply = self._ask(lean, "PUT", f"/{self.bucket}/{key}", body=body)
        is_open = reply is None or self._is_refusal(reply)
        self._note(key, "write", value, began, NEVER if is_open else time.monotonic())

    def read(self, lean, key):
        began = time.monotonic()
        reply = self._ask(lean, "GET", f"/{self.bucket}/{key}")
        if reply is None or self._is_refusal(reply):
            return
        digest = hashlib.md5(reply.body).hexdigest()
        if reply.headers["etag"] != f'"{digest}"':
            raise AssertionError(f"{key}: not the bytes of {reply.headers['etag']}")
        self._note(key, "read", digest, began, time.monotonic())

    def list(self, lean):
        began = time.monotonic()
        reply = self._ask(lean, "GET", f"/{self.bucket}", [("list-type", 2)])
        if reply is None or self._is_refusal(reply):
            return
        shown = {node.findtext("Key"): node.findtext("ETag")
                 for node in reply.xml().findall("Contents")}
        if set(shown) != set(KEYS):
            raise AssertionError(f"listed: {sorted(shown)}")
        for key, etag in shown.items():
            self._note(key, "read", etag.strip('"'), began, time.monotonic())

    def _client(self, seed, seconds):
        rng, lean = random.Random(seed), Lean(self.server)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            choice = rng.random()
            if choice < 0.4:
                self.write(lean, rng.choice(KEYS), rng.choice(self.sizes))
            elif choice < 0.9:
                self.read(lean, rng.choice(KEYS))
            else:
                self.list(lean)
        lean.close()
