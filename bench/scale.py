"""What must not grow with the number of objects or connections: listings, the start, memory."""
import os
import signal
import statistics
import subprocess

from knobs import KIB
from loader import last_line, load_command, must_load, settle

MANY, FEW = "many", "few"
FEW_KEYS = 10000
PAGE = 1000  # keys of a listing
OBJECT_SIZE = KIB


def held_memory(knobs, peer, connections, **options):
    """Memory with so many connections open and idle, after each has had its answers."""
    command = load_command(knobs, peer, connections=connections, count=4 * connections, hold=True,
                           **options)
    with subprocess.Popen(command, env=peer.load_env(), text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as load:
        line = load.stdout.readline()
        memory = peer.memory_kib()
        load.stdin.close()
        errors = load.stderr.read()
    if load.returncode != 0:
        raise ChildProcessError(f"load --hold against {peer.name}: {line} {errors}")
    return memory


def connection_memory(knobs, peer, **options):
    """KiB that a connection adds to a server that has answered on one before."""
    one = held_memory(knobs, peer, 1, **options)
    many = held_memory(knobs, peer, knobs.idle_connections, **options)
    return {kind: (many[kind] - one[kind]) / (knobs.idle_connections - 1) for kind in one}


def fill(knobs, server):
    """The two buckets. Returns the rate of the many."""
    for bucket, keys in ((FEW, FEW_KEYS), (MANY, knobs.many_keys)):
        server.create_bucket(bucket)
        result = must_load(knobs, server, op="put", bucket=bucket, size=OBJECT_SIZE, keys=keys,
                           count=keys, connections=64, sign="each")
    return result


def list_run(knobs, server, bucket, keys, connections):
    return must_load(knobs, server, op="list", bucket=bucket, keys=keys - PAGE, max_keys=PAGE,
                     order="random", sign="each", connections=connections,
                     duration_ms=int(knobs.seconds * 1000))


def listings(knobs, server):
    """Of a page from a random place: {connections: {bucket: medians}}, in alternating rounds."""
    table = {}
    for connections in (1, 16):
        rounds = {FEW: [], MANY: []}
        for index in range(knobs.rounds):
            order = [(FEW, FEW_KEYS), (MANY, knobs.many_keys)]
            for bucket, keys in order if index % 2 == 0 else reversed(order):
                rounds[bucket].append(list_run(knobs, server, bucket, keys, connections))
        table[connections] = {bucket: medians(results) for bucket, results in rounds.items()}
    return table


def medians(results):
    return {name: statistics.median(result[name] for result in results)
            for name in ("ops_s", "p50_us", "p99_us", "cpu_us_op")}


def drop_cached(folder):
    """The page cache forgets the files, as after a reboot. What is dirty stays, so sync first."""
    os.sync()
    for parent, _, names in os.walk(folder):
        for name in names:
            fd = os.open(os.path.join(parent, name), os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def starts(knobs, server):
    """Seconds until the server is ready: after a clean stop, and after kill -9 with nothing of its
    files in memory."""
    seconds = {"clean": [], "killed": []}
    for _ in range(knobs.rounds):
        server.end()
        seconds["clean"].append(server.start())
        must_load(knobs, server, op="put", bucket=FEW, size=OBJECT_SIZE, keys=FEW_KEYS,
                  connections=64, count=FEW_KEYS)
        server.end(signal.SIGKILL)
        drop_cached(server.data)
        seconds["killed"].append(server.start())
    return {how: statistics.median(values) for how, values in seconds.items()}


def measure(knobs, server, tell):
    """All of it, on a server of its own."""
    tell(f"filling {knobs.many_keys:,} keys of {OBJECT_SIZE} bytes")
    filled = fill(knobs, server)
    tell(f"filled at {filled['ops_s']:,.0f} a second")
    settle([server])
    result = {"keys": knobs.many_keys, "fill_ops_s": filled["ops_s"],
              "fill_seconds": filled["seconds"], "memory_filled_kib": server.memory_kib(),
              "list": listings(knobs, server), "start": starts(knobs, server)}
    settle([server])
    result["memory_restarted_kib"] = server.memory_kib()
    return result
