#!/usr/bin/env python3
"""clang-tidy 14 over the given files, two at a time; `.clang-tidy` says what is checked.

usage: tidy.py FILE.c...      needs build/compile_commands.json; files it does not name are skipped
The last line is `tidy: N files, M violations`; the exit status is 0 when there is none.
"""
import concurrent.futures
import json
import os
import re
import subprocess
import sys

# strerror is thread safe since glibc 2.32, which clang-tidy 14 does not know.
STRERROR = re.compile(r"\bstrerror\(")
FOUND = re.compile(r"^(\S+?):(\d+):\d+: (?:error|warning): (.*)$")


def known_files():
    with open("build/compile_commands.json", encoding="utf-8") as file:
        return {os.path.realpath(os.path.join(entry["directory"], entry["file"]))
                for entry in json.load(file)}


def is_strerror(path, line):
    with open(path, encoding="utf-8") as file:
        return STRERROR.search(file.read().split("\n")[line - 1]) is not None


def tidy(path):
    ran = subprocess.run(["clang-tidy-14", "-p", "build", "--quiet", path], check=False,
                         capture_output=True, text=True)
    lines = set()
    for line in ran.stdout.splitlines():
        match = FOUND.match(line)
        if match:
            where = os.path.relpath(os.path.join("build", match[1]))
            if "concurrency-mt-unsafe" in match[3] and is_strerror(where, int(match[2])):
                continue
            lines.add((where, int(match[2]), match[3].replace(",-warnings-as-errors", "")))
    return lines


def main():
    known = known_files()
    files = [path for path in sys.argv[1:] if os.path.realpath(path) in known]
    found = set()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for lines in pool.map(tidy, files):
            found |= lines
    for path, line, message in sorted(found):
        print(f"{path}:{line}: {message}")
    print(f"tidy: {len(files)} files, {len(found)} violations")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
