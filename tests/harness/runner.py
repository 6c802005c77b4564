"""Runs unittest modules of a folder and counts.

Prints a line per failure and per skip; the last line is `NAME: P passed, F failed, S skipped`.
Arguments on the command line choose tests by a part of their name.
"""
import importlib
import os
import signal
import sys
import time
import traceback
import unittest

TEST_LIMIT_S = 300


class Result(unittest.TestResult):
    """Counts a test once, whatever its sub-tests say."""

    def __init__(self):
        super().__init__()
        self.passed, self.failed_ids, self.skipped_count = 0, [], 0
        self.slowest = []

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()
        signal.alarm(getattr(test, "limit_s", TEST_LIMIT_S))

    def stopTest(self, test):
        signal.alarm(0)
        self.slowest.append((time.monotonic() - self.started, test.id()))
        super().stopTest(test)

    def addSuccess(self, test):
        self.passed += 1

    def addSkip(self, test, reason):
        self.skipped_count += 1
        print(f"skip {test.id()}: {reason}", flush=True)

    def _fail(self, test, error, label=""):
        if test.id() not in self.failed_ids:
            self.failed_ids.append(test.id())
        text = "".join(traceback.format_exception(*error))
        print(f"FAIL {test.id()} {label}\n{text}", flush=True)

    def addError(self, test, err):
        self._fail(test, err)

    def addFailure(self, test, err):
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._fail(test, err, subtest._subDescription())

    def addUnexpectedSuccess(self, test):
        self.failed_ids.append(test.id())


def _out_of_time(_signal, _frame):
    raise TimeoutError("the test took too long")


def _flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flatten(test)
        else:
            yield test


def main(name, folder, after=None):
    """after() runs last; what it raises is one more failure."""
    signal.signal(signal.SIGALRM, _out_of_time)
    sys.path.insert(0, folder)
    suite = unittest.TestSuite()
    for file in sorted(os.listdir(folder)):
        if file.startswith("test_") and file.endswith(".py"):
            module = importlib.import_module(file[:-3])
            for test in _flatten(unittest.defaultTestLoader.loadTestsFromModule(module)):
                if len(sys.argv) < 2 or any(word in test.id() for word in sys.argv[1:]):
                    suite.addTest(test)
    result = Result()
    suite.run(result)
    failed = len(result.failed_ids)
    try:
        if after:
            after()
    except Exception:  # whatever it is, it is a failure to count
        traceback.print_exc()
        failed += 1
    if os.environ.get("SLOWEST"):
        for seconds, test in sorted(result.slowest, reverse=True)[:20]:
            print(f"{seconds:7.2f} s {test}")
    print(f"{name}: {result.passed} passed, {failed} failed, {result.skipped_count} skipped",
          flush=True)
    return 1 if failed else 0
