"""Does the bench say so when a target is missed? Made-up figures, each on one side of its limit."""
import unittest

import report
import targets


def cell(goodfs=None, nginx=None, raw=None):
    rates = {"goodfs": goodfs, "nginx": nginx, "raw": raw}
    figures = {peer: {"ops_s": rate} for peer, rate in rates.items() if rate}
    if goodfs is None:
        figures["goodfs"] = {"error": "status: 500"}
    return figures


def good_run():
    return {
        "cells": {"get 4KiB x1": cell(70, 100), "get 4KiB x64": cell(66, 100),
                  "get 1MiB x16": cell(91, 100), "get 64MiB x64": cell(120, 100),
                  "put 4KiB x64": cell(60, 50, 100),
                  "head 4KiB x64": cell(90, 90), "put 64MiB x8": cell(10, 10)},
        "scale": {"keys": 1000, "start": {"clean": 0.1, "killed": 0.9},
                  "list": {1: {"few": {"p50_us": 100}, "many": {"p50_us": 199}}}},
        "memory": {"idle": {"goodfs": {"rss": 32 * 1024}}, "connection": {"goodfs": {"rss": 64}}},
        "disks": {"encode": {"4+2": {"raw": 200, "raw_crc": 100, "raw_crc_buffers": 95,
                                     "path": 81}},
                  "put": {"goodfs-one": 90, "goodfs-disks": 50},
                  "get": {"goodfs-one": 120, "goodfs-disks": 100}, "degraded_get_mb_s": 61},
    }


class Targets(unittest.TestCase):
    def missed(self, run):
        return [one.line() for one in targets.of_run(run) if not one.is_reached]

    def expect_missed(self, run, *parts):
        lines = self.missed(run)
        self.assertEqual(len(lines), 1, lines)
        for part in parts:
            self.assertIn(part, lines[0])

    def test_a_good_run_reaches_all(self):
        self.assertEqual(self.missed(good_run()), [])
        self.assertEqual(len(targets.of_run(good_run())), 10)

    def test_the_worst_connection_count_decides(self):
        run = good_run()
        run["cells"]["get 4KiB x1"] = cell(60, 100)
        self.expect_missed(run, "measured 0.60 (get 4KiB x1), wanted >= 0.65: missed by 0.05")

    def test_encoding_and_degraded_reads_count(self):
        run = good_run()
        run["disks"]["encode"]["4+2"]["path"] = 70
        self.expect_missed(run, "encode 4+2", "missed by 0.10")
        run = good_run()
        run["disks"]["degraded_get_mb_s"] = 50
        self.expect_missed(run, "two of six disks gone", "missed by 0.10")

    def test_large_gets_of_both_sizes_count(self):
        for name in ("get 1MiB x16", "get 64MiB x64"):
            run = good_run()
            run["cells"][name] = cell(80, 100)
            self.expect_missed(run, name, "missed by 0.10")

    def test_a_cell_with_errors_is_no_success(self):
        run = good_run()
        run["cells"]["get 4KiB x1"] = cell(None, 100)
        self.expect_missed(run, "not measured (no figures for get 4KiB x1)", "missed")

    def test_no_cells_are_no_success(self):
        run = good_run()
        run["cells"] = {}
        self.assertEqual(len(self.missed(run)), 4)

    def test_small_put_is_held_against_nginx_only_where_head_is_too_slow_for_the_raw_log(self):
        run = good_run()
        run["cells"]["put 4KiB x64"] = cell(40, 50, 100)
        self.expect_missed(run, "raw group commit", "missed by 0.10")
        run["cells"]["head 4KiB x64"] = cell(49, 90)
        self.assertEqual(self.missed(run), [])
        run["cells"]["put 4KiB x64"] = cell(35, 50, 100)
        self.expect_missed(run, "WebDAV", "0.35 of the raw group commit", "missed by 0.10")

    def test_large_put(self):
        run = good_run()
        run["cells"]["put 64MiB x8"] = cell(9, 10)
        self.expect_missed(run, "PUT 64 MiB x8", "missed by 0.10")

    def test_listing_start_and_memory_have_ceilings(self):
        for change, part in (
                (lambda run: run["scale"]["list"][1]["many"].update(p50_us=210), "LIST"),
                (lambda run: run["scale"]["start"].update(killed=1.25), "missed by 0.25 s"),
                (lambda run: run["scale"]["start"].update(clean=1.5), "(clean)"),
                (lambda run: run["memory"]["idle"]["goodfs"].update(rss=33 * 1024), "1.00 MiB"),
                (lambda run: run["memory"]["connection"]["goodfs"].update(rss=66), "2.00 KiB")):
            run = good_run()
            change(run)
            self.expect_missed(run, part)


class Report(unittest.TestCase):
    def test_an_error_is_shown_with_its_peer(self):
        self.assertIn("goodfs: status: 500", report.cell_line("get", cell(None, 100)))

    def test_ratios_are_those_of_the_rates(self):
        line = report.cell_line("put 4KiB x64", cell(30, 40, 120))
        self.assertEqual([line.split("|")[1].split()[-1], line.split("|")[2].split()[-1]],
                         ["0.75", "0.25"])


if __name__ == "__main__":
    unittest.main(verbosity=1)
