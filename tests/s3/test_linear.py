"""Reads and listings of keys that many clients write: each key is a linearizable register."""
import os
import unittest

from harness.case import S3Case
from harness.linear import Clients
from harness.register import Operation, find_fault

SECONDS = float(os.environ.get("GOODFS_LINEAR_SECONDS", "5"))


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
    def test_keys_are_linearizable_under_concurrent_writers_readers_and_listings(self):
        clients = Clients(self.server, self.new_bucket())
        clients.run(SECONDS)
        for history in clients.histories.values():
            self.assertGreater(len(history), 100)
        self.assertEqual(clients.faults(), {})
