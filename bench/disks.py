"""Many disks: 4+2 beside one disk, degraded reads, repair, and memory under many large uploads.
All disks are directories of one file system here, so every fragment is written to one device."""
import json
import os
import shutil
import subprocess
import threading
import time

import cells
from knobs import MIB, BenchError
from loader import load_command, must_load, settle
from peers import Goodfs

DISKS, DATA_FRAGMENTS = 6, 4
BIG = 64 * MIB
CONNECTIONS = 8
MANY_PUTS = 64
HEAL_LIMIT_S = 600
SAMPLE_S = 0.05


class Pool(Goodfs):
    """`goodfs server` on several directories."""

    def __init__(self, knobs, home, args):
        super().__init__(knobs.program("goodfs/goodfs"), home, args, name="goodfs-disks")
        self.ctl = knobs.program("ctl/goodfsctl")
        self.disks = [os.path.join(self.data, f"disk{index}") for index in range(DISKS)]
        for disk in self.disks:
            os.mkdir(disk)

    def directories(self):
        return self.disks

    def ask(self, *words):
        """(exit status, JSON)"""
        env = {**os.environ, **self.keys, "GOODFS_ADMIN": f"127.0.0.1:{self.admin_port}"}
        ran = subprocess.run([self.ctl, *words, "--json"], env=env, capture_output=True, text=True,
                             timeout=60, check=False)
        if ran.returncode not in (0, 1):
            raise BenchError(f"goodfsctl {' '.join(words)}: {ran.stderr}")
        return ran.returncode, json.loads(ran.stdout)


def throughput(knobs, server, op):
    count = 16 if knobs.is_quick else 48
    keys = cells.READ_KEYS[BIG] if op == "get" else count
    prefix = f"get-{BIG}-" if op == "get" else f"put-{time.monotonic_ns()}-"
    return must_load(knobs, server, op=op, bucket=cells.BUCKET, prefix=prefix, size=BIG,
                     connections=CONNECTIONS, keys=keys, count=count)


def fill(knobs, server):
    server.create_bucket(cells.BUCKET)
    common = {"bucket": cells.BUCKET, "prefix": f"get-{BIG}-", "size": BIG,
              "connections": CONNECTIONS, "keys": cells.READ_KEYS[BIG],
              "count": cells.READ_KEYS[BIG]}
    must_load(knobs, server, op="put", **common)
    must_load(knobs, server, op="get", check=True, **common)


def alternating(knobs, servers, op):
    """MB/s of each server, medians of rounds in turn."""
    rounds = {server.name: [] for server in servers}
    for index in range(knobs.rounds):
        for server in servers if index % 2 == 0 else reversed(servers):
            rounds[server.name].append(throughput(knobs, server, op)["mb_s"])
    return {name: sorted(values)[len(values) // 2] for name, values in rounds.items()}


def degraded(knobs, pool):
    """GET with as many disks gone as may be, none of them repaired meanwhile."""
    pool.end()
    for disk in pool.disks[-2:]:
        os.rename(disk, disk + ".away")
    pool.start()
    rate = throughput(knobs, pool, "get")["mb_s"]
    rates = sorted([rate] + [throughput(knobs, pool, "get")["mb_s"]
                             for _ in range(knobs.rounds - 1)])
    pool.end()
    for disk in pool.disks[-2:]:
        os.rename(disk + ".away", disk)
    pool.start()
    return rates[len(rates) // 2]


def dd_rate(*words):
    began = time.monotonic()
    subprocess.run(["dd", "bs=1M", "count=1024", *words], check=True, capture_output=True)
    return 1024 * MIB / 1e6 / (time.monotonic() - began)


def disk_limits(home):
    """MB/s: large direct writes with a flush at the end; large direct reads; and what repair can
    reach on one device: each byte costs k that are read, one that is written, one read back."""
    path = os.path.join(home, "limit")
    write = dd_rate("if=/dev/zero", f"of={path}", "oflag=direct", "conv=fdatasync")
    read = dd_rate(f"if={path}", "of=/dev/null", "iflag=direct")
    os.unlink(path)
    return {"write": write, "read": read, "repair": 1 / ((DATA_FRAGMENTS + 1) / read + 1 / write)}


def bytes_below(folder):
    return sum(os.stat(os.path.join(parent, name)).st_blocks * 512
               for parent, _, names in os.walk(folder) for name in names)


def repair(pool):
    """One disk is emptied while the server is down; until everything is whole again."""
    pool.end()
    lost = pool.disks[-1]
    held = bytes_below(os.path.join(lost, "bulk"))
    shutil.rmtree(lost)
    os.mkdir(lost)
    pool.start()
    began = time.monotonic()
    while pool.ask("health")[0] != 0:
        if time.monotonic() - began > HEAL_LIMIT_S:
            raise BenchError("the emptied disk is not filled again")
        time.sleep(SAMPLE_S)
    seconds = time.monotonic() - began
    return {"mb": held / 1e6, "seconds": seconds, "mb_s": held / 1e6 / seconds}


def memory_of_many_puts(knobs, pool):
    """The most that the server had resident during 64 uploads of 64 MiB at once, in KiB."""
    settle([pool])
    before = pool.memory_kib()["rss"]
    most, is_over = before, threading.Event()

    def watch():
        nonlocal most
        while not is_over.wait(SAMPLE_S):
            most = max(most, pool.memory_kib()["rss"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        command = load_command(knobs, pool, op="put", bucket=cells.BUCKET, prefix="many-",
                               size=BIG, connections=MANY_PUTS, keys=MANY_PUTS, count=MANY_PUTS)
        ran = subprocess.run(command, env=pool.load_env(), capture_output=True, text=True,
                             timeout=HEAL_LIMIT_S, check=False)
    finally:
        is_over.set()
        watcher.join()
    if ran.returncode != 0:
        raise BenchError(f"64 uploads at once: {ran.stdout} {ran.stderr}")
    return {"before_kib": before, "most_kib": most}


def encode(knobs):
    """Raw isa-l and the write path's encoding, MB/s a profile."""
    ran = subprocess.run([knobs.program("bench/ec"), "--json"], capture_output=True, text=True,
                         timeout=120, check=True)
    return json.loads(ran.stdout)


def measure(knobs, home, args, one):
    """one: a server of one disk, running. All of it."""
    pool = Pool(knobs, home, [*args, "--repair-rate", "64GiB"])
    result = {"encode": encode(knobs), "disk_limits_mb_s": disk_limits(home)}
    pool.start()
    try:
        for server in (one, pool):
            fill(knobs, server)
        for op in ("put", "get"):
            result[op] = alternating(knobs, [one, pool], op)
        result["degraded_get_mb_s"] = degraded(knobs, pool)
        result["memory"] = memory_of_many_puts(knobs, pool)
        result["repair"] = repair(pool)
    finally:
        pool.end()
    return result
