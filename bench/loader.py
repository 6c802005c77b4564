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


def machine_times():
    """(busy, all) seconds of all processors since boot."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


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
    flushes, cpu, (busy, total) = peer.flushes(), peer.cpu_seconds(), machine_times()
    ran = subprocess.run(load_command(knobs, peer, **options), env=peer.load_env(),
                         capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    busy_after, total_after = machine_times()
    peer.check_alive()
    result = last_line(ran, f"load against {peer.name}")
    flushes_after = peer.flushes()
    settle([peer])
    requests = max(result["ops_all"], 1)
    result["cpu_us_op"] = (peer.cpu_seconds() - cpu) * 1e6 / requests
    result["busy"] = (busy_after - busy) / max(total_after - total, 1)
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
