"""The kill loop as a test, and a test of its own judgement."""
import os
import random
import unittest

import kill_loop
from history import ABSENT, History, Values

KILLS = int(os.environ.get("GOODFS_CRASH_KILLS", "20"))
SEED = int(os.environ.get("GOODFS_CRASH_SEED", "0")) or random.randrange(1 << 20)


class KillLoop(unittest.TestCase):
    limit_s = 60 + 30 * KILLS

    def test_nothing_acknowledged_is_lost(self):
        kill_loop.Loop(SEED).run(KILLS)


class Judgement(unittest.TestCase):
    """The history allows what a correct store may show, and nothing else."""

    def setUp(self):
        self.history = History(Values(1))

    def write(self, value, answered=True):
        record = self.history.begin("k", [value])
        if answered:
            self.history.answered(record, True)
        return record

    def test_an_acknowledged_value_is_the_only_one_allowed(self):
        self.write(1)
        self.write(2)
        self.assertEqual(self.history.possible("k"), {2})

    def test_an_unanswered_write_may_have_happened_or_not(self):
        self.write(1)
        self.write(2, answered=False)
        self.assertEqual(self.history.possible("k"), {1, 2})

    def test_of_two_overlapping_ones_either_may_be_last(self):
        first = self.history.begin("k", [1])
        second = self.history.begin("k", [2])
        self.history.answered(second, True)
        self.history.answered(first, True)
        self.assertEqual(self.history.possible("k"), {1, 2})

    def test_an_acknowledged_delete_stays_deleted(self):
        self.write(1)
        self.write(ABSENT)
        self.assertEqual(self.history.possible("k"), {ABSENT})

    def test_the_state_found_in_an_audit_is_the_new_start(self):
        self.write(1, answered=False)
        self.history.settle({"k": 1})
        self.assertEqual(self.history.possible("k"), {1})
        self.history.settle({})
        self.assertEqual(self.history.possible("k"), {ABSENT})

    def test_a_refused_write_changes_nothing(self):
        self.write(1)
        self.history.answered(self.history.begin("k", [2]), False)
        self.assertEqual(self.history.possible("k"), {1})

    def test_bytes_belong_to_their_value(self):
        values = self.history.values
        number, body = values.new(100)
        other, parts = values.new(0, (50, 30))
        self.assertTrue(values.is_body(number, body))
        self.assertTrue(values.is_body(other, b"".join(parts)))
        self.assertFalse(values.is_body(number, body[:-1]))
        self.assertFalse(values.is_body(number, body[:-1] + b"?"))
