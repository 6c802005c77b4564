"""The house rules that a script can see. Standard library only; quick enough for every commit.

usage: check.py [--root DIR] [--no-compile] [NAME...]      NAME: only these checks
       check.py --layers FOLDER                            suggests ranks for layers.txt

Prints `file:line: [check] what is wrong` and ends with `lint: N checks, M violations`.
What is allowed in spite of a rule is a line of allow.txt with its reason; layers.txt says who may
include whom. A line of allow.txt that excuses nothing is itself a violation.
"""
import argparse
import concurrent.futures
import fnmatch
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from csource import CSource, only_comments  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
UNIT_FOLDERS = ("libgoodfs", "datad", "metad", "gateway", "goodfs", "ctl")
LINE_MAX, HEADER_MAX, FILE_MAX, FUNCTION_MAX = 100, 150, 600, 70
TEXT_SUFFIXES = (".c", ".h", ".py", ".md", ".txt", ".sh", ".build", ".sql", ".mjs", ".json",
                 ".yml", ".yaml", ".toml", ".conf", ".proto")
COMPILER_HEADERS = "immintrin.h nmmintrin.h wmmintrin.h emmintrin.h x86intrin.h cpuid.h arm_neon.h \
    arm_acle.h".split()
SYSTEM_HEADERS = "assert.h complex.h ctype.h dirent.h dlfcn.h endian.h errno.h fcntl.h fenv.h \
    fnmatch.h getopt.h glob.h grp.h inttypes.h limits.h locale.h malloc.h math.h netdb.h poll.h \
    pthread.h pwd.h sched.h semaphore.h signal.h spawn.h stdalign.h stdarg.h stdatomic.h stdbool.h \
    stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h termios.h threads.h time.h \
    unistd.h utime.h wchar.h".split()
SYSTEM_FOLDERS = ("sys/", "linux/", "netinet/", "arpa/", "net/", "asm/")


class Tree:
    """The files of a work tree, and what layers.txt and allow.txt say about them."""

    def __init__(self, root, layers, allow):
        self.root = root
        self.files = sorted(list_files(root))
        self.file_set = set(self.files)
        self.texts, self.sources = {}, {}
        self.includes_of, self.ranks, self.third_party = parse_layers(layers)
        self.allow = list(parse_allow(allow))
        self.allow_used = set()

    def text(self, path):
        if path not in self.texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
                self.texts[path] = file.read()
        return self.texts[path]

    def source(self, path):
        if path not in self.sources:
            self.sources[path] = CSource(self.text(path))
        return self.sources[path]

    def c_files(self, suffixes=(".c", ".h")):
        return [path for path in self.files if path.endswith(suffixes)]

    def text_files(self):
        return [path for path in self.files
                if path.endswith(TEXT_SUFFIXES) or is_script(path) or "." not in basename(path)]

    def is_allowed(self, check, path, message):
        for index, (name, pattern, part, _, _) in enumerate(self.allow):
            if name == check and fnmatch.fnmatch(path, pattern) and (not part or part in message):
                self.allow_used.add(index)
                return True
        return False


def basename(path):
    return path.rsplit("/", 1)[-1]


def folder(path):
    return path.split("/", 1)[0]


def stem(path):
    return basename(path).rsplit(".", 1)[0]


def is_script(path):
    return path.startswith(("script/", ".ci/")) or path.endswith(".sh")


def list_files(root):
    """What git tracks or would track; without git, everything outside build folders."""
    if os.path.exists(os.path.join(root, ".git")):
        listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
                                check=True, capture_output=True, text=True).stdout
        for path in listed.split("\0"):
            if path and os.path.isfile(os.path.join(root, path)):
                yield path
        return
    for where, folders, names in os.walk(root):
        folders[:] = [name for name in folders
                      if not name.startswith((".git", "build", ".venv", "node_modules", "__py"))]
        for name in names:
            yield os.path.relpath(os.path.join(where, name), root)


def parse_layers(text):
    includes_of, ranks, third_party = {}, {}, {}
    section, rank = None, 0
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            section, rank = line.strip("[]"), 0
        elif section == "folders":
            name, _, others = line.partition(":")
            includes_of[name.strip()] = others.split()
        elif section == "third-party":
            header, _, users = line.partition(":")
            third_party[header.strip()] = users.split()
        else:
            rank += 1
            for name in line.split():
                ranks[section + "/" + name] = rank
    return includes_of, ranks, third_party


def parse_allow(text):
    """(check, path pattern, part of the message or '', reason, line number)"""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            name, _, rest = line.strip().partition(" ")
            where, _, reason = rest.strip().partition(" ")
            path, _, part = where.partition(":")
            yield name, path, part, reason.strip(), number


CHECKS = {}


def check(function):
    CHECKS[function.__name__.replace("_", "-")] = function
    return function


# ---- layers ----

@check
def layer_folders(tree):
    """Which folder may include which."""
    for path in tree.c_files():
        allowed = tree.includes_of.get(folder(path))
        if allowed is None:
            yield path, 1, f"folder {folder(path)} has no line under [folders] of layers.txt"
            continue
        for line, kind, name in tree.source(path).includes():
            if kind != '"' or "*" in allowed:
                continue
            if "/" not in name:
                yield path, line, f'"{name}": an include names its folder'
            elif folder(name) not in allowed:
                yield path, line, f"{folder(path)} may not include {name}"


def rank_of(tree, path):
    """By its own name, as `auth.h`, or by that of the pair, as `auth`."""
    return tree.ranks.get(path, tree.ranks.get(path.rsplit(".", 1)[0]))


@check
def layer_files(tree):
    """Within a folder includes point strictly down. A .c without a rank is above all headers."""
    for path in tree.c_files():
        if "*" in tree.includes_of.get(folder(path), ["*"]):
            continue
        own = path.rsplit(".", 1)[0]
        rank = rank_of(tree, path)
        if rank is None and path.endswith(".h"):
            yield path, 1, "header has no rank in tests/lint/layers.txt"
            continue
        for line, kind, name in tree.source(path).includes():
            if kind != '"' or folder(name) != folder(path) or rank is None or \
                    name.rsplit(".", 1)[0] == own:
                continue
            if (rank_of(tree, name) or 0) >= rank:
                yield path, line, f"includes {name}, which does not rank below it"


@check
def third_party(tree):
    """A third-party header is included by exactly one module."""
    for path in tree.c_files():
        if "*" in tree.includes_of.get(folder(path), ["*"]):
            continue
        for line, kind, name in tree.source(path).includes():
            if kind != "<" or name in SYSTEM_HEADERS or name in COMPILER_HEADERS or \
                    name.startswith(SYSTEM_FOLDERS):
                continue
            users = next((users for header, users in tree.third_party.items()
                          if fnmatch.fnmatch(name, header)), None)
            if users is None:
                yield path, line, f"<{name}> has no line under [third-party] of layers.txt"
            elif not any(fnmatch.fnmatch(path, user) for user in users):
                yield path, line, f"<{name}> belongs to {' '.join(users)} alone"


# ---- form ----

@check
def pragma_once(tree):
    for path in tree.c_files((".h",)):
        if not re.search(r"^#pragma once$", tree.text(path), re.M):
            yield path, 1, "no #pragma once"


@check
def header_alone(tree):
    """Each header compiles as the only include of a file."""
    def compile_one(path):
        ran = subprocess.run(
            ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-w", "-I.", "-include", path,
             "-x", "c", "/dev/null"], cwd=tree.root, capture_output=True, text=True, check=False)
        return path, ran.returncode, ran.stderr.strip().splitlines()
    headers = [path for path in tree.c_files((".h",)) if folder(path) in UNIT_FOLDERS]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, status, errors in pool.map(compile_one, headers):
            if status != 0:
                first = next((line for line in errors if "error" in line), "does not compile")
                yield path, 1, "does not compile alone: " + first


@check
def header_length(tree):
    for path in tree.c_files((".h",)):
        count = tree.text(path).count("\n")
        if count > HEADER_MAX and folder(path) in UNIT_FOLDERS:
            yield path, 1, f"{count} lines, the limit of a header is {HEADER_MAX}"


@check
def file_length(tree):
    for path in tree.c_files() + [p for p in tree.files if p.endswith(".py")]:
        count = tree.text(path).count("\n")
        if count > FILE_MAX:
            yield path, 1, f"{count} lines, the limit is {FILE_MAX}"


@check
def function_length(tree):
    for path in tree.c_files():
        for first, last, name in tree.source(path).functions():
            count = last - first + 1
            if count > FUNCTION_MAX:
                yield path, first, f"{name} has {count} lines, the limit is {FUNCTION_MAX}"


@check
def line_length(tree):
    for path in tree.c_files() + [p for p in tree.files if p.endswith(".py") or is_script(p)]:
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            if len(line) > LINE_MAX:
                yield path, number, f"{len(line)} columns, the limit is {LINE_MAX}"


@check
def white_space(tree):
    """No blanks at the end of a line, no tabs in C, one line break at the end of a file."""
    for path in tree.text_files():
        text = tree.text(path)
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield path, number, "white space at the end of the line"
            if "\t" in line and path.endswith((".c", ".h")):
                yield path, number, "tab"
        if text and not text.endswith("\n"):
            yield path, text.count("\n") + 1, "no line break at the end of the file"


@check
def file_comment(tree):
    """A header begins with a comment that says what it is."""
    for path in tree.c_files((".h",)):
        if not tree.text(path).startswith(("/*", "//")):
            yield path, 1, "the file does not begin with a comment"


# ---- language ----

@check
def typedefs(tree):
    """A typedef names a callback, never a struct, union or enum."""
    for path in tree.c_files():
        source = tree.source(path)
        for match in re.finditer(r"\btypedef\b\s+([^;{(]*[;{(])", source.plain):
            line = source.plain.count("\n", 0, match.start()) + 1
            if not match[1].endswith("("):
                yield path, line, "typedef of something that is not a function"


@check
def unfinished(tree):
    """Nothing is left for later."""
    for path in tree.text_files():
        if path.startswith("tests/lint/"):
            continue
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            found = re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line)
            if found:
                yield path, number, found[1]


CLOCKED = re.compile(r"\b(pthread_cond_(?:timed|clock)wait|pthread_condattr_setclock)\s*\(")


@check
def condition_deadlines(tree):
    """One file waits until a time: it knows by which clock."""
    for path in tree.c_files():
        for number, line in enumerate(tree.source(path).code_lines, 1):
            found = CLOCKED.search(line)
            if found and path != "libgoodfs/cond.c":
                yield path, number, f"{found[1]}() is for libgoodfs/cond.c: gfs_cond_wait_until"


BANNED = re.compile(r"(?<![\w.>])(sprintf|vsprintf|strcpy|stpcpy|strcat|strncat|gets|alloca|strtok|"
                    r"strdupa|atoi|atol|atof|mktemp|tmpnam|longjmp|setjmp)\s*\(")


@check
def banned_calls(tree):
    for path in tree.c_files():
        for number, line in enumerate(tree.source(path).code_lines, 1):
            found = BANNED.search(line)
            if found:
                yield path, number, f"{found[1]}() is not used here"


SQL = re.compile(r'"\s*(SELECT|INSERT|REPLACE|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|ATTACH)\b',
                 re.I)


@check
def printed_sql(tree):
    """SQL is a constant with ? parameters, never put together by printf."""
    for path in tree.c_files():
        if folder(path) not in UNIT_FOLDERS:
            continue
        source = tree.source(path)
        for match in re.finditer(r"\b(\w*printf)\s*\(", source.code):
            depth, end = 0, match.end() - 1
            while end < len(source.code):
                depth += {"(": 1, ")": -1}.get(source.code[end], 0)
                if depth == 0:
                    break
                end += 1
            if SQL.search(source.text[match.start():end]):
                yield path, source.code.count("\n", 0, match.start()) + 1, f"SQL made by {match[1]}"


@check
def mutable_globals(tree):
    for path in tree.c_files():
        if folder(path) in UNIT_FOLDERS:
            for line, name in tree.source(path).mutable_globals():
                yield path, line, f"{name} is mutable and has static storage"


def paragraph_start(lines, index):
    """The first line of what stands above without an empty line; of a whole struct there only its
    comment counts, not those of its fields."""
    while index > 0 and lines[index - 1].strip() and not lines[index - 1].endswith("{"):
        if lines[index - 1].startswith("};"):
            while index > 0 and not lines[index - 1].endswith("{"):
                index -= 1
            return index - 2 if lines[index - 2].rstrip().endswith("*/") else index + 1
        index -= 1
    return index


@check
def contracts(tree):
    """Each function of a header that returns enum gfs_err has a comment, or is in the paragraph of
    one that has."""
    for path in tree.c_files((".h",)):
        if folder(path) not in UNIT_FOLDERS:
            continue
        source = tree.source(path)
        for number, kind, name in source.prototypes():
            if not kind.endswith("enum gfs_err"):
                continue
            first = paragraph_start(source.lines, number - 1)
            last = number - 1
            while ";" not in source.code_lines[last] and last + 1 < len(source.lines):
                last += 1
            paragraph = "\n".join(source.lines[first:last + 1])
            if "/*" not in paragraph and "//" not in paragraph:
                yield path, number, f"{name} has no contract comment"


# ---- tests and docs ----

@check
def unit_tests(tree):
    """folder/name.c is tested by tests/unit/folder/test_name.c."""
    for path in tree.c_files((".c",)):
        if folder(path) in UNIT_FOLDERS:
            wanted = f"tests/unit/{folder(path)}/test_{stem(path)}.c"
            if wanted not in tree.file_set:
                yield path, 1, f"no {wanted}"


@check
def unit_tests_built(tree):
    """A test file that no meson.build names is never run."""
    for path in tree.files:
        match = re.fullmatch(r"(tests/unit/\w+)/test_(\w+)\.c", path)
        if match:
            build = match[1] + "/meson.build"
            text = tree.text(build) if build in tree.file_set else ""
            if not re.search(rf"['/](test_)?{match[2]}(\.c)?'", text):
                yield path, 1, f"{build} does not name it"


PATH_IN_DOC = re.compile(r"`([A-Za-z_.][\w.*/{}-]*/[\w.*/{}-]*)(?:#(\w+))?`")


@check
def docs_paths(tree):
    """Each `folder/file` in the documents exists, and each `file#name` holds that name."""
    tops = {folder(path) for path in tree.files if "/" in path}
    for path in tree.files:
        if not path.endswith(".md"):
            continue
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            for name, symbol in PATH_IN_DOC.findall(line):
                if folder(name) not in tops:
                    continue
                found = [other for other in tree.files
                         if fnmatch.fnmatch(other, name.rstrip("/")) or
                         other.startswith(name.rstrip("/") + "/")]
                if not found:
                    yield path, number, f"{name} does not exist"
                elif symbol and not any(re.search(rf"\b{symbol}\b", tree.text(other))
                                        for other in found):
                    yield path, number, f"{name} holds no {symbol}"


REQUEST_HEADER = re.compile(r'"((?:x-amz-[a-z0-9-]+|content-[a-z0-9-]+|if-[a-z-]+|cache-control|'
                            r'expires|range|expect|transfer-encoding|authorization))"')
OPERATION = re.compile(r"const struct s3_op \w+ = \{\s*\.name = \"(\w+)\"")


@check
def docs_s3(tree):
    """docs/S3.md names each operation and each header that the gateway reads or sends."""
    if "docs/S3.md" not in tree.file_set:
        return
    text = tree.text("docs/S3.md").lower()
    for path in tree.c_files((".c",)):
        if folder(path) != "gateway":
            continue
        for pattern in (REQUEST_HEADER, OPERATION):
            for match in pattern.finditer(tree.text(path)):
                name = match[1].rstrip("-")
                if not re.search(rf"\b{re.escape(name.lower())}\b", text):
                    line = tree.text(path).count("\n", 0, match.start()) + 1
                    yield path, line, f"docs/S3.md does not name {match[1]}"


FORBIDDEN = [
    (re.compile(r"(?<![\w.])(?<!TLS )sessions?\b(?!\s*(=|\(|\.|token|key))", re.I), "session"),
    (re.compile(r"\bworkplaces?\b", re.I), "workplace"),
    (re.compile(r"\bissue\s+#?\d+", re.I), "an issue by number"),
    (re.compile(r"(?<![\w.)}\"'$])/work/"), "a path of one machine"),
    (re.compile(r"\"resolved\": \"https?://(?!registry\.npmjs\.org/)"), "a private registry"),
    (re.compile(r"\b(index-url|registry)\s*=\s*http"), "a private registry"),
]


@check
def forbidden_words(tree):
    """The project speaks of itself alone."""
    for path in tree.text_files():
        if path.startswith("tests/lint/"):
            continue
        text = tree.text(path)
        text = only_comments(text) if path.endswith((".c", ".h")) else text
        for number, line in enumerate(text.split("\n"), 1):
            for pattern, what in FORBIDDEN:
                if pattern.search(line):
                    yield path, number, f"speaks of {what}"


@check
def script_syntax(tree):
    for path in tree.files:
        if not is_script(path):
            continue
        first = tree.text(path).split("\n", 1)[0]
        if not re.match(r"#!.*\b(ba|da)?sh\b", first):
            continue
        ran = subprocess.run(["bash", "-n", path], cwd=tree.root, capture_output=True, text=True,
                             check=False)
        if ran.returncode != 0:
            match = re.search(r"line (\d+): (.*)", ran.stderr)
            yield path, int(match[1]) if match else 1, match[2] if match else "bash -n fails"
        elif not os.access(os.path.join(tree.root, path), os.X_OK):
            yield path, 1, "a script that is not executable"


# ---- running them ----

def run(tree, names):
    """(path, line, check, message) of each violation that allow.txt does not excuse."""
    for name in names:
        for path, line, message in CHECKS[name](tree):
            if not tree.is_allowed(name, path, message):
                yield path, line, name, message
    for index, (name, pattern, _, reason, line) in enumerate(tree.allow):
        if name not in CHECKS:
            yield "tests/lint/allow.txt", line, "allow", f"no check is called {name}"
        elif not reason:
            yield "tests/lint/allow.txt", line, "allow", "no reason is given"
        elif name in names and index not in tree.allow_used:
            yield "tests/lint/allow.txt", line, "allow", f"excuses nothing: {name} {pattern}"
        for path in re.findall(r"\btests/[\w./-]+\w", reason):
            if not any(other == path or other.startswith(path + "/") for other in tree.files):
                yield "tests/lint/allow.txt", line, "allow", f"the reason names {path}: not there"


def suggest_layers(tree, wanted):
    """Ranks by longest path, for a folder whose layers are to be written down."""
    below = {}
    for path in tree.c_files((".h",)):
        if folder(path) == wanted:
            below[stem(path)] = {stem(name) for _, kind, name in tree.source(path).includes()
                                 if kind == '"' and folder(name) == wanted}
    for path in tree.c_files((".c",)):
        if folder(path) == wanted and stem(path) in below:
            below[stem(path)] |= {stem(name) for _, kind, name in tree.source(path).includes()
                                  if kind == '"' and folder(name) == wanted} - {stem(path)}
    left, placed = dict(below), set()
    while left:
        row = sorted(name for name, others in left.items() if others & set(below) <= placed)
        if not row:
            print("cycle among:", {name: others - placed for name, others in left.items()})
            return
        print(" ".join(row))
        placed |= set(row)
        left = {name: others for name, others in left.items() if name not in placed}


def read(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--root", default=os.path.join(HERE, "..", ".."))
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--layers", metavar="FOLDER")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    tree = Tree(os.path.abspath(args.root), read("layers.txt"), read("allow.txt"))
    if args.layers:
        suggest_layers(tree, args.layers)
        return 0
    names = [name for name in args.names or CHECKS
             if not (args.no_compile and name == "header-alone")]
    count = 0
    for path, line, name, message in run(tree, names):
        print(f"{path}:{line}: [{name}] {message}")
        count += 1
    print(f"lint: {len(names)} checks, {count} violations")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
