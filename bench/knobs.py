"""What a run measures, and for how long: the defaults, and the environment that changes them."""
import os
import shutil
import subprocess
from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
FREE_SPACE_MIN = 40 * GIB
FREE_SPACE_MIN_QUICK = 6 * GIB
MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}


class BenchError(Exception):
    pass


@dataclass(frozen=True)
class Knobs:
    top: str  # of the source tree
    build: str  # folder of the release build
    home: str  # where all servers keep their data
    out: str  # the JSON file
    seconds: float  # of a cell
    rounds: int
    many_keys: int  # of the large bucket
    idle_connections: int  # for the memory of a connection
    is_quick: bool

    def program(self, path):
        return os.path.join(self.build, path)


def from_environment(top):
    """The knobs; raises BenchError when one makes no sense."""
    env = os.environ
    is_quick = env.get("GOODFS_BENCH_QUICK", "") not in ("", "0")
    build = os.path.join(top, "build-bench")
    try:
        return Knobs(
            top=top, build=build, is_quick=is_quick,
            home=env.get("GOODFS_BENCH_DIR", build),
            out=env.get("GOODFS_BENCH_OUT", os.path.join(build, "bench.json")),
            seconds=float(env.get("GOODFS_BENCH_SECONDS", "0.5" if is_quick else "2")),
            rounds=int(env.get("GOODFS_BENCH_ROUNDS", "1" if is_quick else "3")),
            many_keys=int(env.get("GOODFS_BENCH_KEYS", "50000" if is_quick else "1000000")),
            idle_connections=1000)
    except ValueError as error:
        raise BenchError(f"a GOODFS_BENCH_ variable is no number: {error}") from error


def file_system(path):
    """The type of the file system that holds the path."""
    ran = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", path], capture_output=True,
                         text=True, check=True)
    return ran.stdout.strip()


def check_disk(knobs):
    """Figures of durable writes need a disk, and room on it."""
    kind = file_system(knobs.home)
    if kind in MEMORY_FILE_SYSTEMS:
        raise BenchError(f"{knobs.home} is on {kind}: set GOODFS_BENCH_DIR to a folder on a disk")
    wanted = FREE_SPACE_MIN_QUICK if knobs.is_quick else FREE_SPACE_MIN
    free = shutil.disk_usage(knobs.home).free
    if free < wanted:
        raise BenchError(f"{knobs.home} has {free >> 30} GiB free, the bench needs {wanted >> 30}")
