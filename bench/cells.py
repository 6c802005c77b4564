"""Throughput: each cell is one operation, size and number of connections, done against every peer
in turn, in rounds whose order alternates; the figures of a cell are medians over the rounds."""
import statistics
from dataclasses import dataclass

from knobs import KIB, MIB
from loader import must_load, run_load, run_raw

BUCKET = "bench"
# Distinct objects that are read; together they fit the page cache.
READ_KEYS = {4 * KIB: 10000, 64 * KIB: 2000, MIB: 200, 64 * MIB: 8}
# Distinct keys of one PUT run for each second of it: more than any server reaches.
WRITE_KEYS_PER_SECOND = {4 * KIB: 60000, 64 * KIB: 20000, MIB: 4000}
BIG = 64 * MIB
RAW_BATCH_SIZE_MAX = 32 * MIB
FIGURES = ("ops_s", "mb_s", "p50_us", "p99_us", "cpu_us_op", "flushes_op", "own_busy",
           "all_busy", "client_cpu_us_op")


@dataclass(frozen=True)
class Cell:
    op: str
    size: int
    connections: int

    @property
    def name(self):
        return f"{self.op} {size_text(self.size)} x{self.connections}"


def size_text(size):
    return f"{size // MIB}MiB" if size >= MIB else f"{size // KIB}KiB"


def plan(is_quick):
    """The cells in the order they are measured. A PUT of 4 KiB brings its DELETE along."""
    cells = []
    for size in READ_KEYS:
        for connections in (1, 16, 64):
            if size == BIG and is_quick and connections == 64:
                continue
            cells += [Cell("put", size, connections), Cell("get", size, connections)]
        if size == BIG:
            cells.append(Cell("put", size, 8))
        if size == 4 * KIB:
            cells += [Cell("head", size, connections) for connections in (1, 16, 64)]
    return cells


def prepare(knobs, peer):
    """Stores the objects that are read, and reads each back whole."""
    peer.create_bucket(BUCKET)
    for size in READ_KEYS:
        common = {"bucket": BUCKET, "prefix": f"get-{size}-", "size": size, "connections": 8,
                  "keys": READ_KEYS[size], "count": READ_KEYS[size]}
        must_load(knobs, peer, op="put", **common)
        must_load(knobs, peer, op="get", check=True, **common)


def amount(knobs, cell):
    """How much a run does: a time, or where one request takes long, a number of requests, so that
    none is cut off by the end."""
    if cell.size == BIG:
        return {"count": max(8, 2 * cell.connections if cell.connections < 64 else 64)}
    return {"duration_ms": int(knobs.seconds * 1000)}


def read_run(knobs, peer, cell):
    result = run_load(knobs, peer, op=cell.op, bucket=BUCKET, prefix=f"get-{cell.size}-",
                      size=cell.size, connections=cell.connections, keys=READ_KEYS[cell.size],
                      order="random", **amount(knobs, cell))
    return {cell.name: result}


def write_run(knobs, peer, cell, serial):
    """New keys, deleted afterwards: of 4 KiB objects that is the measure of DELETE."""
    how = amount(knobs, cell)
    keys = how.get("count") or int(WRITE_KEYS_PER_SECOND[cell.size] * (knobs.seconds + 1))
    common = {"bucket": BUCKET, "prefix": f"put-{serial}-", "size": cell.size,
              "connections": cell.connections, "keys": keys}
    results = {cell.name: run_load(knobs, peer, op="put", **common, **how)}
    written = min(keys, results[cell.name]["ops_all"])
    if written >= cell.connections:
        deleted = run_load(knobs, peer, op="delete", **common, count=written)
        if cell.size == 4 * KIB:
            results[Cell("delete", cell.size, cell.connections).name] = deleted
    return results


def raw_run(knobs, cell):
    """What the disk gives a program that does nothing else, where that can be told."""
    if cell.op != "put":
        return {}
    if cell.size == BIG:
        return {cell.name: run_raw(knobs, "--large", "--writers", str(cell.connections))}
    if cell.size * cell.connections > RAW_BATCH_SIZE_MAX or cell.size >= MIB:
        return {}
    raw = run_raw(knobs, "--writers", str(cell.connections), "--record", str(cell.size))
    return {cell.name: {"ops_s": raw["records_s"], **raw}}


def median_of(results):
    """One result out of the rounds of a cell. An error in any of them voids the figures."""
    errors = [result for result in results if result.get("errors", {}).get("total")]
    if errors:
        return {"error": errors[0]["first_error"], "rounds": results}
    figures = {name: statistics.median(result[name] for result in results)
               for name in FIGURES if all(name in result for result in results)}
    return {**figures, "rounds": results}


def one_run(knobs, peer, cell, serial):
    if peer is None:
        return raw_run(knobs, cell)
    if cell.op == "put":
        return write_run(knobs, peer, cell, serial)
    return read_run(knobs, peer, cell)


def measure_cell(knobs, peers, cell):
    """{cell name: {peer name: medians}} of the cell and those it brings along."""
    rounds = {}
    for index in range(knobs.rounds):
        order = [*peers, None] if index % 2 == 0 else [None, *reversed(peers)]
        for peer in order:
            serial = f"{cell.size}-{cell.connections}-{index}"
            for name, result in one_run(knobs, peer, cell, serial).items():
                peer_name = "raw" if peer is None else peer.name
                rounds.setdefault(name, {}).setdefault(peer_name, []).append(result)
    return {name: {peer: median_of(results) for peer, results in by_peer.items()}
            for name, by_peer in rounds.items()}


def measure(knobs, peers, tell):
    """All cells; tell is called with the name and the figures of each as it is done."""
    for peer in peers:
        prepare(knobs, peer)
    table = {}
    for cell in plan(knobs.is_quick):
        for name, figures in measure_cell(knobs, peers, cell).items():
            table[name] = figures
            tell(name, figures)
    return table
