"""Runs suites of a Meson build directory and counts the tests inside their programs.

usage: meson_suite.py NAME BUILD_DIR SUITE...

Meson counts programs; a Criterion program holds many tests and says how many in its `Synthesis`
line. A program without one counts as one test. The last line is `NAME: P passed, F failed`.
"""
import json
import os
import re
import subprocess
import sys

SYNTHESIS = re.compile(r"Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def suites_present(build, wanted):
    listed = subprocess.run(["meson", "introspect", "--tests", build], check=True,
                            capture_output=True, text=True)
    present = set()
    for test in json.loads(listed.stdout):
        present.update(suite.split(":")[-1] for suite in test["suite"])
    return [suite for suite in wanted if suite in present]


def count_program(entry):
    """(passed, failed) of one program."""
    text = ANSI.sub("", entry.get("stdout", "") + entry.get("stderr", ""))
    found = SYNTHESIS.search(text)
    if not found:
        return (1, 0) if entry["result"] == "OK" else (0, 1)
    passed = int(found[2])
    failed = int(found[1]) - passed
    if entry["result"] != "OK" and failed == 0:
        failed = 1
    return passed, failed


def main():
    name, build, *wanted = sys.argv[1:]
    suites = suites_present(build, wanted)
    passed = failed = 0
    if suites:
        log = os.path.join(build, "meson-logs", "testlog.json")
        if os.path.exists(log):
            os.unlink(log)
        command = ["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs"]
        for suite in suites:
            command += ["--suite", suite]
        subprocess.run(command, check=False)
        with open(log, encoding="utf-8") as lines:
            for line in lines:
                good, bad = count_program(json.loads(line))
                passed, failed = passed + good, failed + bad
    print(f"{name}: {passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
