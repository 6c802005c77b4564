"""Runs goodfsctl against a server of a test."""
import json
import os
import subprocess
import time

from harness.server import binary


def program():
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(binary()))), "ctl",
                        "goodfsctl")


def run(server, *words, timeout=200):
    """(exit status, stdout, stderr); goodfsctl gives an answer up before that."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GOODFS_")}
    env.update(GOODFS_ROOT_ACCESS_KEY=server.access_key, GOODFS_ROOT_SECRET_KEY=server.secret_key,
               GOODFS_ADMIN=f"127.0.0.1:{server.admin_port}")
    done = subprocess.run([program(), *words], env=env, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def ask(server, *words):
    """The JSON of a verb that must succeed or answer "no"."""
    status, out, err = run(server, *words, "--json")
    if status not in (0, 1):
        raise AssertionError(f"goodfsctl {' '.join(words)} ended with {status}: {out}{err}")
    return json.loads(out)


def await_health(server, limit_s):
    """Until nothing is under-replicated; how long it took."""
    begun = time.monotonic()
    while True:
        status, out, err = run(server, "health")
        took = time.monotonic() - begun
        if status == 0:
            return took
        if took > limit_s:
            shown = run(server, "status", "--json")[1] + run(server, "disk", "ls", "--json")[1] + \
                run(server, "repair", "status", "--json")[1]
            raise AssertionError(f"not healthy after {limit_s} s: {out}{err}\n{shown}")
        time.sleep(0.2)
