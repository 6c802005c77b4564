#!/usr/bin/env python3
"""Plants one bug at a time into a copy of the store and checks that the simulation finds it.

usage: tests/sim/planted.py [NAME...]

A simulation that cannot fail shows nothing. Each bug below is one that was made, or nearly made, in
some store; the copy is built without it once, to be sure that what fails is the bug. Takes some
minutes; the last line is `planted: P found, F missed`.
"""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = ["tests/sim/store_crash", "tests/sim/store_faults",
            "tests/unit/datad/test_datad_store", "tests/unit/datad/test_datad_store_damage",
            "tests/unit/datad/test_datad_store_verify", "tests/unit/datad/test_datad_store_gone"]

# name: (file, text, what stands there instead)
BUGS = {
    "log-not-flushed": (
        "datad/store_log.c", ".kind = GFS_IO_WRITE_DURABLE", ".kind = GFS_IO_WRITE"),
    "answered-before-written": (
        "datad/store_log.c", "enum gfs_err err = op->result == GFS_OK ? GFS_OK : GFS_IO;",
        "enum gfs_err err = GFS_OK;"),
    "goes-on-after-failed-write": (
        "datad/store_log.c", "    if (!atomic_load(&store->has_failed)) {\n        return start",
        "    if (true) {\n        return start"),
    "bulk-not-flushed": (
        "datad/store_bulk.c", ".kind = GFS_IO_FLUSH, .file = file->file",
        ".kind = GFS_IO_WRITE, .file = file->file"),
    "failed-bulk-flush-ignored": (
        "datad/store_bulk.c", "    if (op->result != GFS_OK) {\n        store_fail(store);\n    }\n"
        "    enum gfs_err err = op->result == GFS_OK ? GFS_OK : GFS_IO;",
        "    enum gfs_err err = GFS_OK;"),
    "bulk-file-name-not-synced": (
        "datad/store_bulk_files.c",
        'if (store->io->ops->sync_dir(store->io, "bulk") != GFS_OK) {', "if (false) {"),
    "segment-name-not-synced": (
        "datad/store_segments.c",
        'return store->io->ops->sync_dir(store->io, "log") == GFS_OK ? GFS_OK : GFS_IO;',
        "return store == NULL ? GFS_IO : GFS_OK;"),
    "names-not-synced-at-start": (
        "datad/store.c", '{".", "log", "bulk"};', '{"bulk"};'),
    "log-not-synced-at-start": (
        "datad/store.c", '{".", "log", "bulk"};', '{".", "bulk"};'),
    "segment-header-not-flushed": (
        "datad/store_segments.c", "err = ops->flush(segment->file);", "err = GFS_OK;"),
    "last-segment-not-flushed-at-start": (
        "datad/store_recover.c", "err = last->segment->file->io->ops->flush(last->segment->file);",
        "err = GFS_OK;"),
    "batch-checksum-not-verified": (
        "datad/store_scan.c",
        "found.is_whole = segment_batch_verify(found.bytes, &found.header) == GFS_OK;",
        "found.is_whole = true;"),
    "unreadable-taken-for-torn": (
        "datad/store_scan.c", "return found->is_unreadable ? GFS_IO : GFS_END;",
        "return GFS_END;"),
    "unreadable-taken-for-spare": (
        "datad/store_scan.c", "if (!*ret && !window_has(&window, SEGMENT_PAGE, SEGMENT_PAGE)) {",
        "if (false) {"),
    "read-not-repeated": (
        "datad/store_scan.c", "        window_forget(window);\n        found = look(scan, window);",
        ""),
    "payload-not-verified": (
        "datad/segment.c", "            expected) {\n            return GFS_CORRUPT;",
        "            expected) {\n            return GFS_OK;"),
    "checkpoint-not-verified": (
        "datad/store_checkpoint.c",
        "if (err == GFS_OK && gfs_crc64nvme(crc, bytes, len) != header->body_crc) {",
        "if (false) {"),
    "checkpoint-name-not-synced": (
        "datad/store_checkpoint.c", 'err = ops->sync_dir(store->io, ".");', "err = GFS_OK;"),
    "checkpoint-beside-damage-used": (
        "datad/store_checkpoint.c", "if ((saved.flags & SEGMENT_IS_DAMAGED) != 0) {",
        "if (false) {"),
    "recycled-before-checkpoint": (
        "datad/store_compact.c", " && segment->seq < store->checkpoint_seq) {", ") {"),
    "recycled-under-pin": (
        "datad/store_compact.c", "segment->is_drained && segment->pins == 0 &&",
        "segment->is_drained &&"),
    "recycled-before-stale-ones": (
        "datad/store_compact.c", "        if (segment->has_stale && !segment->is_damaged) {",
        "        if (false) {"),
    "edits-not-awaited": (
        "datad/store_compact.c", "    if (segment->lsn_max > store->lsn_trimmed || ",
        "    if ("),
    "edits-leave-in-silence": (
        "datad/store_compact.c",
        "    copier.job.lsn_gone = mark_of_locked(store, segment);\n", ""),
    "mark-taken-for-said-in-an-empty-head": (
        "datad/store_compact.c",
        "lsn == store->lsn_gone && store->head->end > SEGMENT_PAGE ? 0 : lsn;",
        "lsn == store->lsn_gone ? 0 : lsn;"),
    "no-page-for-a-mark": (
        "datad/store_log.c", "    return job->len == 0 && head->end",
        "    return false && head->end"),
    "mark-not-carried-on": (
        "datad/store_log.c", ".lsn_gone = store->lsn_gone};", ".lsn_gone = 0};"),
    "gone-edits-not-asked-for": (
        "datad/store_edits.c", "    if (gone <= GFS_MAX(replay->after, replay->last)) {",
        "    if (true) {"),
    "tombstones-dropped": (
        "datad/store_compact.c", "        if (keeper != 0) {\n            tombstone.segment_seq",
        "        if (false) {\n            tombstone.segment_seq"),
    "delete-ends-what-came-after-it": (
        "datad/store_apply.c", "    if (seq <= tombstone->segment_seq) {", "    if (true) {"),
    "delete-misses-its-own-batch": (
        "datad/store_apply.c",
        "return seq == apply->segment->seq && is_in_batch(apply, entry);", "return false;"),
    "delete-ends-its-whole-segment": (
        "datad/store_apply.c",
        "return seq == apply->segment->seq && is_in_batch(apply, entry);",
        "return seq == apply->segment->seq;"),
    "tombstones-behind-copies": (
        "datad/store_log.c", "    add_copies_locked(store, job, true);\n"
        "    add_copies_locked(store, job, false);", "    add_copies_locked(store, job, false);\n"
        "    add_copies_locked(store, job, true);"),
    "delete-names-its-own-segment": (
        "datad/store_log.c", "tombstone.segment_seq = entry == NULL ",
        "tombstone.segment_seq = true "),
    "superseded-not-stale": (
        "datad/store_apply.c", "        segment->has_stale = true;", ""),
    "superseded-extent-kept": (
        "datad/store_apply.c", "    if (is_moved) {", "    if (false) {"),
    "copied-extent-given-back": (
        "datad/store_apply.c", "    if (is_moved) {", "    if (true) {"),
    "superseded-place-copied": (
        "datad/store_compact.c",
        "return entry->file == (CHUNK_INDEX_BULK | bulk.file) && entry->where == bulk.page &&\n"
        "           entry->extra == seq;",
        "return entry->file >= CHUNK_INDEX_BULK && entry->extra == seq;"),
    "unreadable-live-record-dropped": (
        "datad/store_compact.c",
        "    if (segment_payload_verify(record) != GFS_OK) {\n        return GFS_CORRUPT;",
        "    if (segment_payload_verify(record) != GFS_OK) {\n        return GFS_OK;"),
    "unreadable-batch-dropped": (
        "datad/store_compact.c", "return copier->is_given_up ? GFS_OK : GFS_CORRUPT;",
        "return GFS_OK;"),
    "given-up-without-delete": (
        "datad/store_compact.c", "        } else if (!save_data(copier, entry)) {",
        "        } else if (!save_data(copier, entry) && false) {"),
    "place-not-saved": (
        "datad/store_compact.c", "            save_place(copier, entry);", "            continue;"),
    "given-up-before-edits-are-trimmed": (
        "datad/store_compact.c", " || segment->lsn_hold > store->lsn_trimmed) {", ") {"),
    "tombstones-not-kept-for-damage": (
        "datad/store_apply.c", "            keeper = segment->seq;", ""),
    "batches-behind-damage-not-missed": (
        "datad/store_scan.c", "    if (header != NULL && next > from) {", "    if (false) {"),
    "copy-not-checked-again": (
        "datad/store_log.c", "        if (is_needed) {\n            memcpy(store->arena",
        "        if (true) {\n            memcpy(store->arena"),
    "pinned-extent-punched": (
        "datad/store_read.c",
        "    if (extent != NULL) {\n        extent->is_dead = true;\n    } else {",
        "    if (extent != NULL) {\n        extent->is_dead = true;\n    }\n    {"),
    "punched-before-delete-is-durable": (
        "datad/store_log.c", "        const struct chunk_entry *entry = chunk_index_find("
        "store->index, id.hi, id.lo);\n        struct tombstone",
        "        const struct chunk_entry *entry = chunk_index_find("
        "store->index, id.hi, id.lo);\n        if (entry != NULL) {\n"
        "            bulk_extent_release_locked(store, entry);\n        }\n"
        "        struct tombstone"),
    "used-segment-taken-for-a-spare": (
        "datad/store_recover.c", "if ((segment->seq == head->seq && head->has_batches) || ",
        "if ("),
    "cut-segment-taken-for-whole": (
        "datad/store_segments.c", "err == GFS_OK && info.size < segment->header.size", "false"),
    "lost-segment-forgotten-by-checkpoint": (
        "datad/store_checkpoint.c", "if (damage->is_lost && !damage->is_over) {", "if (false) {"),
    "gone-segment-not-missed": (
        "datad/store_recover.c", "    if (!is_known && log_segment_first_seq(segment)",
        "    if (false && log_segment_first_seq(segment)"),
    "scan-looks-no-farther-than-a-batch": (
        "datad/store_scan.c", "from, window->file_size, &next)",
        "from, from + STORE_BATCH_LEN_MAX, &next)"),
    "bulk-file-goes-on-at-its-size": (
        "datad/store_bulk_files.c", "last == NULL ? 0 : last->where", "true ? 0 : last->where"),
    "abandoned-bulk-kept": (
        "datad/store_bulk.c",
        "    if (!bulk->is_live && bulk->file != NULL) {\n        (void)pthread_mutex_lock",
        "    if (false) {\n        (void)pthread_mutex_lock"),
    "deleted-bulk-kept": (
        "datad/store_read.c",
        "        bulk_punch_locked(store, file, entry->where, page_count, true);",
        "        file->extents--;"),
    "group-split": (
        "datad/store_log.c", "        if (fate == GROUP_TAKEN) {\n            add_group",
        "        if (fate == GROUP_TAKEN) {\n            if (group->records->next != NULL && "
        "store->batch_seq % 16 == 0) {\n                group->records->next = NULL;\n"
        "                size = group_size(group);\n            }\n            add_group"),
    "torn-tail-kept": (
        "datad/store_recover.c", "        segment->end = scan.offset;",
        "        segment->end = scan.offset + SEGMENT_PAGE;"),
    "seal-without-next-number": (
        "datad/store_scan.c", "scan->is_sealed ? GFS_END : GFS_OK;\n}\n\nenum",
        "GFS_OK;\n}\n\nenum"),
    "full-disk-answered-ok": (
        "datad/store_log.c", "    if (is_refused) {\n        group->err = GFS_NO_SPACE;",
        "    if (is_refused) {\n        group->err = GFS_OK;"),
}


def run(command, cwd, timeout):
    try:
        return subprocess.run(command, cwd=cwd, timeout=timeout, check=False,
                              capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", "no end")


def first_failure(build):
    """The first line of what went wrong, None = nothing did."""
    built = run(["ninja", *PROGRAMS], build, 600)
    if built.returncode != 0:
        sys.exit("planted: does not build:\n" + built.stdout[-2000:])
    for program in PROGRAMS:
        done = run([os.path.join(build, program)], build, 120)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["exit %d" % done.returncode]
            return lines[0]
    return None


def plant(copy, build, name):
    path, text, instead = BUGS[name]
    path = os.path.join(copy, path)
    with open(path, encoding="utf-8") as file:
        whole = file.read()
    if whole.count(text) == 0:
        sys.exit(f"planted: {name}: its place in {BUGS[name][0]} has changed")
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(whole.replace(text, instead, 1))
        return first_failure(build)
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(whole)


def main():
    names = sys.argv[1:] or list(BUGS)
    missed = 0
    with tempfile.TemporaryDirectory(prefix="goodfs-planted-") as folder:
        copy = os.path.join(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("build*", ".git"))
        build = os.path.join(folder, "build")
        subprocess.run(["meson", "setup", build, copy], check=True, capture_output=True)
        failure = first_failure(build)
        if failure is not None:
            sys.exit("planted: fails without any bug: " + failure)
        for name in names:
            failure = plant(copy, build, name)
            missed += failure is None
            print(f"{name}: {failure or 'MISSED'}", flush=True)
    print(f"planted: {len(names) - missed} found, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
