"""The targets, and whether a run has reached them. A target without figures is not reached."""
from dataclasses import dataclass

IDLE_KIB_MAX = 32 * 1024
CONNECTION_KIB_MAX = 64
START_SECONDS_MAX = 1.0
LIST_RATIO_MAX = 2.0
ENCODE_RATIO_MIN = 0.8
DEGRADED_RATIO_MIN = 0.6


@dataclass(frozen=True)
class Target:
    name: str
    measured: float | None
    wanted: float
    is_ceiling: bool = False
    unit: str = ""
    note: str = ""

    @property
    def is_reached(self):
        if self.measured is None:
            return False
        return self.measured <= self.wanted if self.is_ceiling else self.measured >= self.wanted

    def line(self):
        sign = "<=" if self.is_ceiling else ">="
        note = f" ({self.note})" if self.note else ""
        if self.measured is None:
            return f"target {self.name}: not measured{note}, wanted {sign} {self.wanted:g}: missed"
        missed_by = f"missed by {abs(self.measured - self.wanted):.2f}{self.unit}"
        return (f"target {self.name}: measured {self.measured:.2f}{self.unit}{note}, wanted {sign} "
                f"{self.wanted:g}{self.unit}: {'reached' if self.is_reached else missed_by}")


def ratio(cells, name, other):
    """goodfs / other in a cell, or None."""
    figures = cells.get(name, {})
    mine, theirs = (figures.get(peer, {}).get("ops_s") for peer in ("goodfs", other))
    return mine / theirs if mine and theirs else None


def worst(target_name, cells, names, wanted):
    """The lowest ratio to nginx among the cells; one that failed makes it unmeasured."""
    ratios = {name: ratio(cells, name, "nginx") for name in names}
    lost = [name for name, value in ratios.items() if value is None]
    if lost or not ratios:
        return Target(target_name, None, wanted, note=f"no figures for {', '.join(lost)}")
    lowest = min(ratios, key=ratios.get)
    return Target(target_name, ratios[lowest], wanted, note=lowest)


def small_put(cells):
    """Half of the raw group commit or, where the CPU is the limit, 0.8 of nginx's WebDAV PUT. The
    CPU is the limit where not even HEAD, a request without any storage, comes up to that half."""
    name = "put 4KiB x64"
    of_raw, of_nginx = ratio(cells, name, "raw"), ratio(cells, name, "nginx")
    head = cells.get("head 4KiB x64", {}).get("goodfs", {}).get("ops_s")
    if of_raw is None or of_nginx is None or head is None:
        return Target("PUT 4 KiB x64 of the raw group commit", None, 0.5, note="no figures")
    head_of_raw = head / cells[name]["raw"]["ops_s"]
    if of_raw >= 0.5 or head_of_raw >= 0.5:
        return Target("PUT 4 KiB x64 of the raw group commit", of_raw, 0.5,
                      note=f"HEAD {head_of_raw:.2f}, PUT {of_nginx:.2f} of nginx WebDAV")
    return Target("PUT 4 KiB x64 of nginx WebDAV without fsync", of_nginx, 0.8,
                  note=f"{of_raw:.2f} of the raw group commit, to which HEAD is {head_of_raw:.2f}")


def of_cells(cells):
    gets = [name for name in cells if name.startswith(("get 1MiB", "get 64MiB"))]
    small = [name for name in cells if name.startswith("get 4KiB")]
    return [
        worst("GET 4 KiB signed of nginx static", cells, small, 0.65),
        worst("GET >= 1 MiB of nginx static", cells, gets, 0.9),
        small_put(cells),
        Target("PUT 64 MiB x8 of nginx WebDAV without fsync",
               ratio(cells, "put 64MiB x8", "nginx"), 1.0),
    ]


def of_scale(scale):
    page = scale["list"][1]
    start = max(scale["start"], key=scale["start"].get)
    keys = f"{scale['keys']:,} keys"
    return [
        Target(f"LIST of 1,000 at {keys}, times its time at 10 k",
               page["many"]["p50_us"] / page["few"]["p50_us"], LIST_RATIO_MAX, is_ceiling=True),
        Target(f"start on {keys}", scale["start"][start], START_SECONDS_MAX, is_ceiling=True,
               unit=" s", note=f"{start}"),
    ]


def of_memory(memory):
    return [
        Target("resident memory idle", memory["idle"]["goodfs"]["rss"] / 1024, IDLE_KIB_MAX / 1024,
               is_ceiling=True, unit=" MiB"),
        Target("resident memory of a connection", memory["connection"]["goodfs"]["rss"],
               CONNECTION_KIB_MAX, is_ceiling=True, unit=" KiB"),
    ]


def of_disks(disks):
    encode = [Target(f"encode {profile} in the write path of raw isa-l with checksums",
                     one["path"] / one["raw_crc"], ENCODE_RATIO_MIN,
                     note=f"{one['path'] / one['raw']:.2f} of isa-l without checksums")
              for profile, one in disks["encode"].items()]
    return [*encode,
            Target("GET 64 MiB with two of six disks gone of a healthy one",
                   disks["degraded_get_mb_s"] / disks["get"]["goodfs-disks"], DEGRADED_RATIO_MIN)]


def of_run(result):
    return [*of_cells(result["cells"]), *of_scale(result["scale"]), *of_memory(result["memory"]),
            *of_disks(result["disks"])]
