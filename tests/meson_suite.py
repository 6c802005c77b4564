"""Runs suites of a Meson build directory and counts the tests inside their programs.

usage: meson_suite.py NAME BUILD_DIR SUITE...

Meson counts programs; a Criterion program holds many tests and says how many in its `Synthesis`
line. A program without one counts as one test. The last line is `NAME: P passed, F failed`.
"""
import glob
import json
import os
import re
import subprocess
import sys

SYNTHESIS = re.compile(r"Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
AGAIN_MAX = 3  # more than these have a reason
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


def run(build, arguments):
    """Entries of Meson's log, by the name of the program."""
    log = os.path.join(build, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", *arguments],
                   check=False)
    with open(log, encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    return {entry["name"]: entry for entry in entries}


def leak_reports():
    """Files of reports that tell of leaks alone."""
    path = re.search(r"log_path=([^:]+)", os.environ.get("ASAN_OPTIONS", ""))
    files = glob.glob(glob.escape(path[1]) + ".*") if path else []
    return [file for file in files if re.search(r"ERROR: LeakSanitizer: detected memory leaks",
                                                open(file, encoding="utf-8").read())]


def forget_leaks(files, name):
    """An assertion that fails leaves what its test had allocated. A leak of another kind is in the
    reports of the second run as well."""
    source = "test_" + name.split("/")[-1].strip() + ".c:"
    for file in files:
        if source in open(file, encoding="utf-8").read():
            os.unlink(file)


def run_again(build, failed):
    """Programs with threads and time limits, on a machine that does other things as well, fail now
    and then for want of a processor. They have one more try, alone, and it is told."""
    again = {}
    for name in failed[:AGAIN_MAX]:
        test = name.split(" / ")[-1]
        before = leak_reports()
        for entry in run(build, ["--num-processes", "1", test]).values():
            again[name] = entry
            good = entry["result"] == "OK"
            print(f"{name}: failed once, {'passed' if good else 'failed'} when run again")
            if good:
                forget_leaks(before, test)
    return again


def main():
    name, build, *wanted = sys.argv[1:]
    suites = suites_present(build, wanted)
    passed = failed = 0
    if suites:
        entries = run(build, [word for suite in suites for word in ("--suite", suite)])
        entries.update(run_again(build, [title for title, entry in entries.items()
                                         if count_program(entry)[1]]))
        for entry in entries.values():
            good, bad = count_program(entry)
            passed, failed = passed + good, failed + bad
    print(f"{name}: {passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
