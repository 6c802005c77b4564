"""One run of the load generator, or of the raw log, and what the server spent on it."""
import json
import os
import subprocess
import time

from knobs import BenchError

RUN_LIMIT_S = 900
QUIET_LIMIT_S = 5
QUIET_STEP_S = 0.1
QUIET_CPU_S = 0.02


def settle(peers):
    """Waits until what earlier runs left behind is done: dirty pages, and work put off."""
    os.sync()
    deadline = time.monotonic() + QUIET_LIMIT_S
    before = sum(peer.cpu_seconds() for peer in peers)
    while time.monotonic() < deadline:
        time.sleep(QUIET_STEP_S)
        now = sum(peer.cpu_seconds() for peer in peers)
        if now - before <= QUIET_CPU_S:
            return
        before = now


def machine_busy_seconds():
    """Of all processors since boot, in the kernel's own threads too."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def shares(result, wall_s, busy_s):
    """How much of all processors server and client used of a run, and how much anybody did."""
    used_us = result["cpu_us_op"] + result["client_cpu_us_op"]
    return {"own_busy": used_us * result["ops_s"] / 1e6 / os.cpu_count(),
            "all_busy": busy_s / wall_s / os.cpu_count()}


def last_line(ran, what):
    lines = ran.stdout.strip().splitlines()
    if not lines:
        raise BenchError(f"{what}: {ran.stderr.strip()[-500:]}")
    return json.loads(lines[-1])


def load_command(knobs, peer, **options):
    """Options are those of the load generator, with _ for -; True is a flag."""
    command = [knobs.program("bench/load"), "--endpoint", peer.endpoint, *peer.load_args()]
    for name, value in options.items():
        command.append("--" + name.replace("_", "-"))
        command += [] if value is True else [str(value)]
    return command


def run_load(knobs, peer, **options):
    """The result of one run, with the server's CPU time and flushes for each request. The CPU time
    includes work that the server put off until after the last answer."""
    if options["op"] == "put":
        peer.before_write()
    settle([peer])
    flushes, cpu = peer.flushes(), peer.cpu_seconds()
    began, busy = time.monotonic(), machine_busy_seconds()
    ran = subprocess.run(load_command(knobs, peer, **options), env=peer.load_env(),
                         capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    wall_s, busy_s = time.monotonic() - began, machine_busy_seconds() - busy
    peer.check_alive()
    result = last_line(ran, f"load against {peer.name}")
    flushes_after = peer.flushes()
    settle([peer])
    requests = max(result["ops_all"], 1)
    result["cpu_us_op"] = (peer.cpu_seconds() - cpu) * 1e6 / requests
    result.update(shares(result, wall_s, busy_s))
    if flushes is not None:
        result["flushes_op"] = (flushes_after - flushes) / requests
    return result


def must_load(knobs, peer, **options):
    """A run that prepares: an error ends the bench."""
    result = run_load(knobs, peer, **options)
    if result["errors"]["total"] != 0 or result["ops_all"] == 0:
        raise BenchError(f"{peer.name}: {options}: {result['first_error']}")
    return result


def run_raw(knobs, *args):
    """The raw program, on the same file system as the servers' data."""
    command = [knobs.program("bench/raw_log"), "--dir", knobs.home,
               "--duration-ms", str(int(knobs.seconds * 1000)), *args]
    settle([])
    ran = subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    return last_line(ran, "raw_log")
