"""What was asked and what was answered, and which states that allows.

Each value that is ever written is unique: its bytes begin with its number. Time is cut into epochs
by the kills. A key's possible values after a kill:
  - the value at the start of the epoch, while no operation on the key was acknowledged in it;
  - an acknowledged operation's, unless another acknowledged one began after it had ended;
  - any unanswered operation's: it may have been carried out, or not.
ABSENT is a value like the others: deletes write it. What an audit finds is the new start.
"""
import dataclasses
import hashlib
import itertools
import random
import threading
import time

ABSENT = 0


class Values:
    """Numbers, bytes and ETags of values. Guarded by lock."""

    def __init__(self, seed):
        self.seed, self.lock = seed, threading.Lock()
        self.numbers = itertools.count(1)
        self.known = {}     # number -> (etag, size)
        self.by_etag = {}

    def new(self, size, part_sizes=None):
        """(number, body) or, with part_sizes, (number, [body...])."""
        with self.lock:
            number = next(self.numbers)
        if part_sizes is None:
            body = self.body(number, size)
            etag = f'"{hashlib.md5(body).hexdigest()}"'
        else:
            size, whole = sum(part_sizes), self.body(number, sum(part_sizes))
            ends = list(itertools.accumulate(part_sizes))
            body = [whole[end - length:end] for end, length in zip(ends, part_sizes)]
            joined = b"".join(hashlib.md5(part).digest() for part in body)
            etag = f'"{hashlib.md5(joined).hexdigest()}-{len(body)}"'
        with self.lock:
            self.known[number] = (etag, size)
            self.by_etag[etag] = number
        return number, body

    def body(self, number, size):
        head = b"%015d\n" % number
        return (head + random.Random(self.seed ^ number).randbytes(max(0, size - 16)))[:size]

    def number_of(self, etag):
        """None: no value that was ever sent."""
        with self.lock:
            return self.by_etag.get(etag)

    def is_body(self, number, body):
        etag, size = self.known[number]
        return len(body) == size and body == self.body(number, size)


@dataclasses.dataclass
class Write:
    """An operation that changes a key. values: what it may have written (a copy: several)."""

    values: tuple
    start: float
    end: float = None       # None: unanswered
    failed: bool = False    # refused for sure


class Key:
    """Guarded by History's lock."""

    def __init__(self):
        self.base, self.writes = ABSENT, []

    def possible(self, at=None):
        """at: (start, end) of a read while operations run; None: after everything."""
        writes = [w for w in self.writes if not w.failed]
        acked = [w for w in writes if w.end is not None]
        before = [w for w in acked if at is None or w.end < at[0]]
        allowed = set() if before else {self.base}
        for write in writes:
            if at is not None and write.start > at[1]:
                continue
            if write.end is None or not any(other.start > write.end for other in before):
                allowed.update(write.values)
        return allowed


class History:
    def __init__(self, values):
        self.values, self.lock, self.keys = values, threading.Lock(), {}
        self.acked = self.unanswered = self.refused = 0

    def begin(self, key, values):
        write = Write(tuple(values), time.monotonic())
        with self.lock:
            self.keys.setdefault(key, Key()).writes.append(write)
        return write

    def answered(self, write, ok, values=None):
        """ok=False: refused, changed nothing."""
        with self.lock:
            write.end = time.monotonic()
            write.failed = not ok
            if values is not None:
                write.values = tuple(values)
            if ok:
                self.acked += 1
            else:
                self.refused += 1

    def possible(self, key, at=None):
        with self.lock:
            return self.keys[key].possible(at) if key in self.keys else {ABSENT}

    def ever(self, key):
        """Any value the key may have had in this epoch."""
        with self.lock:
            state = self.keys.get(key, Key())
            return {state.base}.union(*[w.values for w in state.writes])

    def settle(self, found):
        """found: key -> value after an audit; the others are absent. Starts a new epoch."""
        with self.lock:
            touched = [key for key, state in self.keys.items() if state.writes]
            for state in self.keys.values():
                self.unanswered += sum(w.end is None for w in state.writes)
            self.keys = {}
            for key, value in found.items():
                self.keys[key] = Key()
                self.keys[key].base = value
            return touched
