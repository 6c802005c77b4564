"""The bench: goodfs, nginx and the raw log beside each other. docs/BENCH.md says what is measured
and how; script/bench builds the programs and runs this.

usage: run.py      (knobs are in the environment, see docs/BENCH.md)
"""
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import cells
import disks
import knobs as knobs_module
import report
import scale
import targets
from knobs import BenchError, KIB
from peers import Goodfs, Nginx, PeerDied, spread_folders

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Deleted data is kept for a minute by default; what the bench deletes must not fill the disk.
SERVER_ARGS = ("--log-level", "warn", "--gc-grace-seconds", "5")


def say(text):
    print(text, flush=True)


def output_of(*command):
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP)
    return (ran.stdout or ran.stderr).strip()


def processor_name():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
        names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return names[0] if names else platform.machine()


def environment(knobs):
    """Figures mean nothing without the machine, and what else it was doing."""
    return {"processor": processor_name(), "processors": os.cpu_count(),
            "kernel": platform.release(), "file_system": knobs_module.file_system(knobs.home),
            "commit": output_of("git", "describe", "--always", "--dirty"),
            "nginx": output_of(Nginx.binary(), "-v"), "load_before": os.getloadavg()[0],
            "seconds": knobs.seconds, "rounds": knobs.rounds,
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


@contextlib.contextmanager
def running(peer):
    """The peer, started; ended and its data removed when done."""
    try:
        peer.start()
        peer.idle_memory = peer.memory_kib()
        yield peer
    finally:
        peer.end()


def measure_throughput(knobs, home):
    """Cells, and memory before, during and after them."""
    server = Goodfs(knobs.program("goodfs/goodfs"), home, SERVER_ARGS)
    nginx = Nginx(home, os.cpu_count())
    with running(server), running(nginx):
        peers = [server, nginx]
        memory = {"idle": {peer.name: peer.idle_memory for peer in peers}}
        say(report.HEAD)
        table = cells.measure(knobs, peers, lambda *cell: say(report.cell_line(*cell)))
        memory["worked"] = {peer.name: peer.memory_kib() for peer in peers}
        return table, memory


def measure_connections(knobs, home):
    """Memory of a connection, by servers that have done nothing else."""
    server = Goodfs(knobs.program("goodfs/goodfs"), home, SERVER_ARGS, name="goodfs-connections")
    nginx_home = os.path.join(home, "nginx-connections")
    os.mkdir(nginx_home)
    nginx = Nginx(nginx_home, os.cpu_count())
    small = {"bucket": cells.BUCKET, "size": 4 * KIB, "keys": 100}
    memory = {}
    with running(server), running(nginx):
        for name, peer in (("goodfs", server), ("nginx", nginx)):
            peer.create_bucket(cells.BUCKET)
            scale.must_load(knobs, peer, op="put", count=100, **small)
            memory[name] = scale.connection_memory(knobs, peer, op="get", **small)
    return memory


def measure_scale(knobs, home):
    server = Goodfs(knobs.program("goodfs/goodfs"), home, SERVER_ARGS, name="goodfs-many")
    with running(server):
        return scale.measure(knobs, server, say)


def measure_disks(knobs, home):
    """Many disks beside one."""
    server = Goodfs(knobs.program("goodfs/goodfs"), home, SERVER_ARGS, name="goodfs-one")
    with running(server):
        return disks.measure(knobs, home, SERVER_ARGS, server)


def measure(knobs, home):
    result = {"environment": environment(knobs)}
    say(" ".join(f"{name}={value}" for name, value in result["environment"].items()))
    result["cells"], memory = measure_throughput(knobs, home)
    memory["connection"] = measure_connections(knobs, home)
    result["memory"] = memory
    result["scale"] = measure_scale(knobs, home)
    result["disks"] = measure_disks(knobs, home)
    result["environment"]["load_after"] = os.getloadavg()[0]
    return result


def conclude(knobs, result):
    """Prints what is left to print, writes the file; answers the number of failed cells."""
    for line in [*report.scale_lines(result["scale"]),
                 *report.memory_lines(result["memory"], result["scale"]),
                 *report.disks_lines(result["disks"])]:
        say(line)
    lines = [target.line() for target in targets.of_run(result)]
    result["targets"] = lines
    with open(knobs.out, "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1)
    say("\n".join(lines))
    say(f"bench: all figures are in {knobs.out}")
    return sum("error" in one for by_peer in result["cells"].values() for one in by_peer.values())


def stop(_number, _frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, stop)
    try:
        knobs = knobs_module.from_environment(TOP)
        if Nginx.binary() is None:
            raise BenchError("no nginx with WebDAV: run script/setup")
        os.makedirs(knobs.home, exist_ok=True)
        knobs_module.check_disk(knobs)
        home = tempfile.mkdtemp(prefix="bench-data.", dir=knobs.home)
        spread_folders(home)
        try:
            return 1 if conclude(knobs, measure(knobs, home)) else 0
        finally:
            shutil.rmtree(home)
    except (BenchError, PeerDied, ChildProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
