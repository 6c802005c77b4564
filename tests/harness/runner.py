"""Runs unittest modules of a folder and counts.

Prints a line per failure and per skip; the last line is `NAME: P passed, F failed, S skipped`.
Arguments on the command line choose tests by a part of their name. Suites whose tests mostly wait
run several at once, each in one of `jobs` processes.
"""
import importlib
import json
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

    def to_json(self):
        return json.dumps([self.passed, self.failed_ids, self.skipped_count, self.slowest])

    def add_json(self, text):
        passed, failed_ids, skipped_count, slowest = json.loads(text)
        self.passed += passed
        self.failed_ids += failed_ids
        self.skipped_count += skipped_count
        self.slowest += slowest


def _out_of_time(_signal, _frame):
    raise TimeoutError("the test took too long")


def _flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flatten(test)
        else:
            yield test


def _units(tests):
    """What can run anywhere: a test, or all of a class that is set up once for them."""
    classes = {}
    for test in tests:
        has_fixture = type(test).setUpClass.__func__ is not unittest.TestCase.setUpClass.__func__
        classes.setdefault(type(test) if has_fixture else test, unittest.TestSuite()).addTest(test)
    return list(classes.values())


def _work(units, numbers, answer):
    """A process of several: runs the units whose numbers it gets hold of, and ends."""
    result = Result()
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        while number := os.read(numbers, 2):
            units[int.from_bytes(number, "little")].run(result)
        out.write(result.to_json())


def _start(units, numbers):
    """What a new process will answer, as a file."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        status = 1
        try:
            os.close(ours)
            _work(units, numbers, theirs)
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(theirs)
    return os.fdopen(ours, encoding="utf-8")


def _run_at_once(tests, jobs, result):
    units = _units(tests)
    numbers, fill = os.pipe()
    os.write(fill, b"".join(number.to_bytes(2, "little") for number in range(len(units))))
    os.close(fill)
    answers = [_start(units, numbers) for _ in range(jobs)]
    for answer in answers:
        text = answer.read()
        answer.close()
        if text:
            result.add_json(text)
        else:
            result.failed_ids.append("a process that ended without an answer")
    for _ in answers:
        os.wait()


def main(name, folder, after=None, jobs=1):
    """after() runs last; what it raises is one more failure. jobs > 1: tests of different
    classes must not share anything."""
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
    if jobs > 1:
        _run_at_once(list(suite), jobs, result)
    else:
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
