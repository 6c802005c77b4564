"""The tables of a run, as text."""

HEAD = (f"{'cell':<18}{'goodfs/s':>10}{'MB/s':>8}{'p50 us':>11}{'p99 us':>11}{'CPU us':>11}"
        f"{'flushes':>9}{'own':>6}{'all':>6} |{'nginx/s':>10}{'CPU us':>9}{'ratio':>7} |"
        f"{'raw/s':>10}{'ratio':>7}")


def number(figures, name, width, digits=0):
    value = figures.get(name)
    return f"{'-':>{width}}" if value is None else f"{value:>{width},.{digits}f}"


def percent(figures, name):
    return f"{100 * figures.get(name, 0):>5.0f}%"


def rate_digits(figures):
    return 1 if (figures.get("ops_s") or 0) < 1000 else 0


def rate(figures, width=10):
    return number(figures, "ops_s", width, rate_digits(figures))


def ratio(mine, theirs):
    if not mine.get("ops_s") or not theirs.get("ops_s"):
        return f"{'-':>7}"
    return f"{mine['ops_s'] / theirs['ops_s']:>7.2f}"


def cell_line(name, figures):
    mine, nginx, raw = (figures.get(peer, {}) for peer in ("goodfs", "nginx", "raw"))
    line = (f"{name:<18}{rate(mine)}{number(mine, 'mb_s', 8)}{number(mine, 'p50_us', 11)}"
            f"{number(mine, 'p99_us', 10)}{number(mine, 'cpu_us_op', 9, 1)}"
            f"{number(mine, 'flushes_op', 9, 3)}{percent(mine, 'own_busy')}"
            f"{percent(mine, 'all_busy')} |{rate(nginx)}"
            f"{number(nginx, 'cpu_us_op', 9, 1)}{ratio(mine, nginx)} |{rate(raw)}"
            f"{ratio(mine, raw)}")
    errors = [f"\n    {peer}: {one['error']}" for peer, one in figures.items() if "error" in one]
    return line + "".join(errors)


def list_lines(scale):
    lines = [f"{'LIST of 1,000':<18}{'keys':>10}{'lists/s':>10}{'p50 us':>9}{'p99 us':>10}"
             f"{'CPU us':>9}"]
    for connections, buckets in scale["list"].items():
        for bucket, keys in (("few", 10000), ("many", scale["keys"])):
            one = buckets[bucket]
            lines.append(f"{f'list x{connections}':<18}{keys:>10,}{rate(one)}"
                         f"{number(one, 'p50_us', 9)}{number(one, 'p99_us', 10)}"
                         f"{number(one, 'cpu_us_op', 9, 0)}")
    return lines


def scale_lines(scale):
    start = scale["start"]
    return [*list_lines(scale),
            f"filled {scale['keys']:,} keys in {scale['fill_seconds']:.1f} s "
            f"({scale['fill_ops_s']:,.0f} a second)",
            f"start on them: {start['clean']:.3f} s after a clean stop, {start['killed']:.3f} s "
            "after kill -9 with nothing cached"]


def disks_lines(disks):
    """Many disks: what has no target is only told."""
    lines = [f"encode {profile}: raw isa-l {one['raw']:,.0f} MB/s, with checksums "
             f"{one['raw_crc']:,.0f}, over the disks' buffers "
             f"{one['raw_crc_buffers']:,.0f}, a stream into these {one['path']:,.0f} "
             f"({one['path_with_copy']:,.0f} when these have no room)"
             for profile, one in disks["encode"].items()]
    one, many = "goodfs-one", "goodfs-disks"
    for op in ("put", "get"):
        lines.append(f"{op} 64MiB x8: one disk {disks[op][one]:,.0f} MB/s, 4+2 on six "
                     f"{disks[op][many]:,.0f} ({disks[op][many] / disks[op][one]:.2f})")
    memory, repair, limits = disks["memory"], disks["repair"], disks["disk_limits_mb_s"]
    lines.append(f"get with two of six disks gone: {disks['degraded_get_mb_s']:,.0f} MB/s")
    lines.append(f"repair of an emptied disk: {repair['mb']:,.0f} MB in {repair['seconds']:.1f} s, "
                 f"{repair['mb_s']:,.0f} MB/s; the device writes {limits['write']:,.0f}, reads "
                 f"{limits['read']:,.0f}, so {limits['repair']:,.0f} could be repaired")
    lines.append(f"memory during 64 uploads of 64 MiB at once: {memory['most_kib'] / 1024:,.0f} "
                 f"MiB resident, {memory['before_kib'] / 1024:,.0f} before")
    return lines


def mib(memory):
    return f"{memory['rss'] / 1024:.1f} MiB resident, {memory['pss'] / 1024:.1f} MiB proportional"


def memory_lines(memory, scale):
    lines = []
    for peer, idle in memory["idle"].items():
        each = memory["connection"][peer]
        lines.append(f"memory of {peer}: idle {mib(idle)}; a connection {each['rss']:.1f} KiB; "
                     f"after all cells {mib(memory['worked'][peer])}")
    lines.append(f"memory of goodfs on {scale['keys']:,} keys: filled "
                 f"{mib(scale['memory_filled_kib'])}; started again "
                 f"{mib(scale['memory_restarted_kib'])}")
    return lines
