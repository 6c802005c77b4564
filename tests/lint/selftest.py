"""Feeds each check a sample it must find, and one it must not.

Prints what a check missed; the last line is `lint self-test: P passed, F failed`.
"""
import os
import sys
import tempfile

import check

LAYERS = """
[folders]
libgoodfs: libgoodfs
datad: libgoodfs datad
tests: *
[third-party]
expat.h: libgoodfs/xml.c
[libgoodfs]
low front.h
high
"""
GOOD_HEADER = "/* What it is. */\n#pragma once\n"

# check, the file with the fault, its text, a part of the message
BAD = [
    ("layer-folders", "libgoodfs/low.c", '#include "datad/store.h"\n', "may not include"),
    ("layer-folders", "libgoodfs/low.c", '#include "low.h"\n', "names its folder"),
    ("layer-folders", "stray/low.c", "\n", "no line under [folders]"),
    ("layer-files", "libgoodfs/low.h", '#include "libgoodfs/high.h"\n', "does not rank below"),
    ("layer-files", "libgoodfs/low.c", '#include "libgoodfs/high.h"\n', "does not rank below"),
    ("layer-files", "libgoodfs/front.h", '#include "libgoodfs/high.h"\n', "does not rank below"),
    ("layer-files", "libgoodfs/other.h", "\n", "has no rank"),
    ("third-party", "libgoodfs/low.c", "#include <expat.h>\n", "belongs to libgoodfs/xml.c"),
    ("third-party", "libgoodfs/low.c", "#include <zlib.h>\n", "has no line"),
    ("pragma-once", "libgoodfs/low.h", "/* x */\n", "#pragma once"),
    ("header-alone", "libgoodfs/low.h", GOOD_HEADER + "uint32_t low(void);\n", "alone"),
    ("header-length", "libgoodfs/low.h", GOOD_HEADER + "\n" * 150, "152 lines"),
    ("file-length", "libgoodfs/low.c", "\n" * 601, "601 lines"),
    ("function-length", "libgoodfs/low.c", "int\nlow(void)\n{\n" + "x();\n" * 68 + "}\n",
     "low has 72 lines"),
    ("line-length", "libgoodfs/low.c", "x" * 101 + "\n", "101 columns"),
    ("line-length", "script/low", "x" * 101 + "\n", "101 columns"),
    ("white-space", "libgoodfs/low.c", "int x; \n", "end of the line"),
    ("white-space", "libgoodfs/low.c", "\tint x;\n", "tab"),
    ("white-space", "README.md", "text", "end of the file"),
    ("file-comment", "libgoodfs/low.h", "#pragma once\n", "begin with a comment"),
    ("typedefs", "libgoodfs/low.c", "typedef struct low low;\n", "typedef"),
    ("typedefs", "libgoodfs/low.c", "typedef struct {\nint x;\n} low;\n", "typedef"),
    ("typedefs", "libgoodfs/low.c", "typedef enum low_kind low_kind;\n", "typedef"),
    ("unfinished", "libgoodfs/low.c", "/* TODO later */\n", "TODO"),
    ("unfinished", "script/low", "# FIXME\n", "FIXME"),
    ("banned-calls", "libgoodfs/low.c", "void f(void)\n{\n    strcpy(a, b);\n}\n", "strcpy"),
    ("banned-calls", "libgoodfs/low.c", "void f(void)\n{\n    n = sprintf (a, b);\n}\n", "sprintf"),
    ("condition-deadlines", "libgoodfs/low.c", "rc = pthread_cond_timedwait(&c, &l, &at);\n",
     "gfs_cond_wait_until"),
    ("printed-sql", "libgoodfs/low.c", 'x = snprintf(a, 9,\n "SELECT * FROM t WHERE k = %s", k);\n',
     "SQL made by snprintf"),
    ("printed-sql", "libgoodfs/low.c", 'gfs_buf_printf(b, "delete from %s", t);\n',
     "gfs_buf_printf"),
    ("mutable-globals", "libgoodfs/low.c", "static int count;\n", "count"),
    ("mutable-globals", "libgoodfs/low.c", "int count = 3;\n", "count"),
    ("mutable-globals", "libgoodfs/low.c", "static const char *names[] = {\"a\"};\n", "names"),
    ("mutable-globals", "libgoodfs/low.c", "static _Thread_local struct low cache[2];\n", "cache"),
    ("mutable-globals", "libgoodfs/low.c", "static void (*hook)(int);\n", "hook"),
    ("mutable-globals", "libgoodfs/low.c", "void f(void)\n{\n    static int calls;\n}\n", "calls"),
    ("contracts", "libgoodfs/low.h", "/* File. */\n\nenum gfs_err low(int x);\n", "low"),
    ("contracts", "libgoodfs/low.h",
     "/* Ops. */\nstruct ops {\n    enum gfs_err (*low)(int x);\n};\n", "low"),
    ("unit-tests", "libgoodfs/low.c", "\n", "no tests/unit/libgoodfs/test_low.c"),
    ("unit-tests-built", "tests/unit/libgoodfs/test_low.c", "\n", "does not name it"),
    ("docs-paths", "README.md", "see `tests/unit/gone.c`\n", "does not exist"),
    ("docs-paths", "README.md", "see `tests/have.c#gone`\n", "holds no gone"),
    ("docs-s3", "gateway/low.c", 's3_header(r, "x-amz-gone");\n', "does not name x-amz-gone"),
    ("docs-s3", "gateway/low.c", 'const struct s3_op s3_op_x = {\n    .name = "PutGone",\n',
     "PutGone"),
    ("forbidden-words", "README.md", "made in an earlier session\n", "session"),
    ("forbidden-words", "README.md", "as issue 7 asks\n", "an issue"),
    ("forbidden-words", "libgoodfs/low.c", "/* see /work/notes */\n", "one machine"),
    ("forbidden-words", "tests/package-lock.json",
     '"resolved": "https://mirror.example/x.tgz"\n', "registry"),
    ("script-syntax", "script/low", "#!/bin/bash\nif true; then\n", "syntax error"),
    ("script-syntax", "script/low", "#!/bin/bash\ntrue\n", "not executable"),
]

# check, file, text: nothing to find
GOOD = [
    ("layer-folders", "datad/store.c", '#include "libgoodfs/low.h"\n'),
    ("layer-files", "libgoodfs/high.h", '#include "libgoodfs/low.h"\n'),
    ("layer-files", "libgoodfs/other.c", '#include "libgoodfs/high.h"\n'),
    ("layer-files", "libgoodfs/front.c", '#include "libgoodfs/high.h"\n'),
    ("third-party", "libgoodfs/xml.c", "#include <expat.h>\n#include <sys/types.h>\n"),
    ("third-party", "tests/low.c", "#include <criterion/criterion.h>\n"),
    ("header-alone", "libgoodfs/low.h", GOOD_HEADER + "#include <stdint.h>\nuint32_t low(void);\n"),
    ("function-length", "libgoodfs/low.c", "int\nlow(void)\n{\n" + "x();\n" * 66 + "}\n"),
    ("line-length", "libgoodfs/low.c", "\u00e9" * 100 + "\n"),
    ("typedefs", "libgoodfs/low.c", "typedef void (*low_fn)(void *arg);\n"),
    ("typedefs", "libgoodfs/low.c", "typedef enum gfs_err (*low_fn)(void *arg);\n"),
    ("banned-calls", "libgoodfs/low.c", "/* strcpy(a, b) */ snprintf(\"gets(\");\n"),
    ("condition-deadlines", "libgoodfs/cond.c", "rc = pthread_cond_timedwait(&c, &l, &at);\n"),
    ("condition-deadlines", "libgoodfs/low.c", "pthread_cond_wait(&c, &l);\n"),
    ("printed-sql", "libgoodfs/low.c", 'x = db_prepare("SELECT 1"); printf("x");\n'),
    ("mutable-globals", "libgoodfs/low.c", """
#define X(a) a,
static const int sizes[] = {1, 2};
static const char *const names[] = {X("a") X("b")};
static const struct low *const table[2] = {0};
static void (*const hook)(int) = NULL;
struct low;
struct low {
    int x;
};
enum { LOW = 1, HIGH };
enum low_kind { LOW_A };
static int forward(void (*fn)(int), int x);
int visit(void *arg, void (*fn)(void *arg, int x),
          int x);
typedef int (*low_fn)(int x);
static_assert(sizeof(int) == 4, "int");
__attribute__((constructor)) static void init(void)
{
    static const int local = 3;
    int x = 1;
}
static int next = 0; /* the one below is a function */
static inline struct low *get(void)
{
    return (struct low){0};
}
""".replace("static int next = 0;", "static const int next = 0;")),
    ("contracts", "libgoodfs/low.h",
     "/* File. */\n\n/* Opens. */\nenum gfs_err low(int x);\nenum gfs_err low2(int x);\n"),
    ("contracts", "libgoodfs/low.h", "/* File. */\n\nenum gfs_err low(int x); /* NOT_FOUND */\n"),
    ("docs-paths", "README.md", "see `tests/have.c#a_name`, `tests/*.c`, `a/b`, `tests/`\n"),
    ("docs-s3", "gateway/low.c", 's3_header(r, "x-amz-meta-"); find(r, "content-md5");\n'),
    ("forbidden-words", "README.md", "a session token; CreateSession; boto3.session.Session()\n"),
    ("forbidden-words", "README.md", "the $HOME/work/x folder\n"),
    ("forbidden-words", "libgoodfs/low.c", 'send(session, "session"); /* of the TLS session */\n'),
    ("unfinished", "libgoodfs/low.c", 'mkdtemp("/tmp/xXXXXXX");\n'),
]


def violations(name, path, text, allow=""):
    with tempfile.TemporaryDirectory(prefix="goodfs-lint-") as root:
        for where, content in (("tests/have.c", "Test(a, a_name)\n"),
                               ("docs/S3.md", "x-amz-meta-NAME, Content-MD5\n"), (path, text)):
            full = os.path.join(root, where)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(content)
        return list(check.run(check.Tree(root, LAYERS, allow), [name]))


def main():
    passed, failures = 0, []

    def expect(condition, message):
        nonlocal passed
        if condition:
            passed += 1
        else:
            failures.append(message)

    for name, path, text, message in BAD:
        found = violations(name, path, text)
        expect(any(where == path and message in what for where, _, _, what in found),
               f"{name} misses {path}: {text.strip()[:60]!r} (found {found})")
    for name, path, text in GOOD:
        found = [what for what in violations(name, path, text) if what[0] == path]
        expect(not found, f"{name} finds what is right: {found}")
    missing = set(check.CHECKS) - {name for name, *_ in BAD}
    expect(not missing, f"checks without a sample: {sorted(missing)}")

    excused = violations("unit-tests", "libgoodfs/low.c", "\n", "unit-tests libgoodfs/low.c why\n")
    expect(not excused, f"allow.txt does not excuse: {excused}")
    for allow, message in (("unit-tests libgoodfs/gone.c why\n", "excuses nothing"),
                           ("unit-tests libgoodfs/low.c\n", "no reason"),
                           ("unknown libgoodfs/low.c why\n", "no check is called"),
                           ("unit-tests libgoodfs/low.c by tests/gone.c\n", "tests/gone.c")):
        found = violations("unit-tests", "libgoodfs/low.c", "\n", allow)
        expect(any(message in what for *_, what in found), f"allow.txt is not checked: {message}")

    for failure in failures:
        print(failure)
    print(f"lint self-test: {passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
