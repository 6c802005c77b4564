"""goodfsctl against a server: every verb, what it prints, how it ends."""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from harness import ctl, disks
from harness.case import S3Case
from harness.fake_admin import FakeAdmin
from harness.lean import Lean
from harness.server import Server, ServerDied, binary

FINE, NO, USAGE, UNREACHABLE = range(4)


class CtlCase(S3Case):
    def run_ctl(self, *words):
        return ctl.run(self.server, *words)

    def check(self, status, *words, out="^", err="^"):
        """Ends like that; both texts are patterns."""
        got = self.run_ctl(*words)
        self.assertEqual(got[0], status, got)
        self.assertRegex(got[1], out)
        self.assertRegex(got[2], err)
        for text in got[1:]:
            self.assertNotIn(self.server.secret_key, text)
        return got[1]


class Usage(CtlCase):
    def test_help_names_every_verb_and_each_has_its_own(self):
        text = self.check(FINE, "help", out=r"(?m)^disk replace DISK PATH ")
        verbs = re.findall(r"(?m)^((?:disk|pg|repair|scrub|rebalance|object|bucket) [a-z]+|status|"
                           r"health)\b", text)
        self.assertGreaterEqual(len(verbs), 15)
        self.check(FINE, "help", "recover", out="^usage: goodfs recover DIR")
        self.check(FINE, "--version", out=r"^goodfsctl \d")
        self.check(FINE, "help", "disk", "set", out=re.escape(
            "disk set DISK [--read-only true|false] [--reserved BYTES]"))
        for verb in verbs:
            self.check(FINE, "help", *verb.split(), out=f"^usage: goodfsctl {verb}")
            self.check(FINE, *verb.split(), "--help", out=f"^usage: goodfsctl {verb}")

    def test_wrong_usage_ends_with_2_and_says_what(self):
        for words, err in (((), "usage"), (("disk",), 'no verb "disk", but "disk ls"'),
                           (("disk", "fly"), 'no verb "disk fly", but "disk ls"'),
                           (("fly",), r'^goodfsctl: there is no verb "fly" \(see goodfsctl help'),
                           (("help", "nothing"), 'no verb "nothing"'), (("disk", "add"), "PATH"),
                           (("disk", "add", "a", "b"), "PATH"),
                           (("status", "extra"), "usage"), (("status", "--verify"), "--verify"),
                           (("status", "--nonsense"), "--nonsense"),
                           (("disk", "set", "0"), "--read-only"),
                           (("disk", "set", "0", "--read-only", "maybe"), "true or false"),
                           (("disk", "set", "0", "--reserved", "1GB"), "bytes"),
                           (("scrub", "start", "--rate", "0"), "bytes"),
                           (("object", "info", "bucket"), "BUCKET/KEY"),
                           (("bucket", "set", "b"), "--storage-class")):
            with self.subTest(words=words):
                self.check(USAGE, *words, err=err)

    def run_with(self, env, *words):
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith("GOODFS_")}
        done = subprocess.run([ctl.program(), *words], env=dict(clean, **env), timeout=60,
                              check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def test_keys_come_from_the_environment_or_a_private_file(self):
        address = f"127.0.0.1:{self.server.admin_port}"
        words = ("object", "info", f"{self.bucket}/none", "--admin", address)
        status, _, err = self.run_with({}, *words)
        self.assertEqual(status, USAGE)
        self.assertIn("GOODFS_ROOT_ACCESS_KEY", err)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "keys")
            with open(path, "w", encoding="ascii") as file:
                file.write(f"GOODFS_ROOT_ACCESS_KEY={self.server.access_key}\n"
                           f"GOODFS_ROOT_SECRET_KEY={self.server.secret_key}\n")
            os.chmod(path, 0o600)
            self.assertEqual(self.run_with({}, *words, "--credentials", path)[0], NO)
            self.assertEqual(self.run_with({"GOODFS_CREDENTIALS": path}, *words)[0], NO)
            os.chmod(path, 0o644)
            status, _, err = self.run_with({}, *words, "--credentials", path)
            self.assertEqual((status, "0600" in err), (USAGE, True))

    def test_nobody_there_and_wrong_keys_end_with_3(self):
        keys = {"GOODFS_ROOT_ACCESS_KEY": self.server.access_key,
                "GOODFS_ROOT_SECRET_KEY": "not-the-right-one"}
        status, out, err = self.run_with(keys, "object", "info", "a/b", "--admin",
                                         f"127.0.0.1:{self.server.admin_port}")
        self.assertEqual((status, out), (UNREACHABLE, ""))
        self.assertIn("SignatureDoesNotMatch", err)
        self.assertEqual(self.run_with(keys, "health", "--admin", "127.0.0.1:1")[0], UNREACHABLE)
        status, _, err = self.run_with(keys, "health", "--admin", self.server.host)
        self.assertEqual(status, UNREACHABLE)
        self.assertIn("no GoodFS admin address", err)


class ObjectsAndBuckets(CtlCase):
    def test_object_info_shows_chunks_and_fragments(self):
        self.put("a folder/ä", b"x" * 1000)
        name = f"{self.bucket}/a folder/ä"
        self.check(FINE, "object", "info", name, out=r"(?m)^size +1000 B$")
        self.check(FINE, "object", "info", name, "--verify", out=r"(?m)^  SLOT .*\n +0 .* ok$")
        info = json.loads(self.check(FINE, "object", "info", name, "--json"))
        self.assertEqual((info["key"], info["size"]), ("a folder/ä", 1000))
        self.check(NO, "object", "info", f"{self.bucket}/none", err="NotFound: there is no object")
        answer = json.loads(self.check(NO, "object", "info", f"{self.bucket}/none", "--json",
                                       err="NotFound"))
        self.assertEqual(answer["error"]["code"], "NotFound")

    def test_the_storage_class_of_a_bucket_can_be_set_to_what_there_is(self):
        bucket = self.new_bucket()
        self.check(FINE, "bucket", "set", bucket, "--storage-class", "STANDARD",
                   out=r"(?m)^storage class +STANDARD$")
        self.check(FINE, "bucket", "info", bucket, out=r"(?m)^storage class +STANDARD$")
        self.check(NO, "bucket", "info", "no-such-bucket", err="NotFound")
        self.check(NO, "bucket", "set", bucket, "--storage-class", "ec:4+2",
                   err=r'InvalidArgument: there is no storage class "ec:4\+2"')
        self.check(NO, "bucket", "set", "no-such-bucket", "--storage-class", "STANDARD",
                   err="NotFound")


class Pages(unittest.TestCase):
    """Answers of several pages, by a server that is none."""

    check, run_ctl = CtlCase.check, CtlCase.run_ctl

    def serve(self, pages):
        self.server = FakeAdmin(pages)
        self.addCleanup(self.server.close)

    @staticmethod
    def fsck_page(first, keys, **members):
        rows = [{"state": "lost", "have": 0, "need": 1, "width": 1, "chunk": "00", "bad_chunks": 1,
                 "bucket": "b", "key": key} for key in keys]
        return {"fsck": dict({"is_running": False, "state": "done", "searches": 7,
                              "is_clean": False, "lost": 5, "has_damaged_rows": False,
                              "objects": rows, "has_more_objects": True}, **members)}

    def test_every_page_of_what_fsck_found_is_shown_and_the_limit_is_said(self):
        self.serve({"fsck?after=0": self.fsck_page(0, ("k0", "k1"), next=2),
                    "fsck?after=2": self.fsck_page(2, ("k2", "k3"), next=4),
                    "fsck?after=4": self.fsck_page(4, ("k4",))})
        text = self.check(NO, "fsck", "status", out=r"(?m)^has_damaged_rows +no$")
        self.assertEqual(re.findall(r"(?m) b +(k\d)$", text), [f"k{n}" for n in range(5)])
        self.assertEqual(text.count("objects whose chunks"), 1)
        self.assertTrue(text.endswith("more than can be listed\n"))
        answer = json.loads(self.check(NO, "fsck", "status", "--json"))["fsck"]
        self.assertEqual([row["key"] for row in answer["objects"]], [f"k{n}" for n in range(5)])
        self.assertEqual((answer["lost"], "next" in answer), (5, False))

    def test_an_object_of_many_chunks_is_one_json_object(self):
        def page(first, last, state="ok", **members):
            chunks = [{"index": index, "id": f"{index:032x}", "length": 10, "group": 1,
                       "fragments": [{"disk": 0, "slot": 0, "length": 10, "state": state}]}
                      for index in range(first, last)]
            return dict({"bucket": "b", "key": "k", "etag": "e", "chunk_count": 20,
                         "chunks": chunks}, **members)

        url = "objects/b/k?after="
        self.serve({f"{url}0&verify=1": page(0, 8, next=8),
                    f"{url}8&verify=1": page(8, 16, "missing", next=16),
                    f"{url}16&verify=1": page(16, 20)})
        words = ("object", "info", "b/k", "--verify")
        info = json.loads(self.check(NO, *words, "--json"))
        self.assertEqual([chunk["index"] for chunk in info["chunks"]], list(range(20)))
        self.assertEqual((info["key"], "next" in info), ("k", False))
        self.assertEqual(info["chunks"][9]["fragments"][0]["state"], "missing")
        text = self.check(NO, *words)
        self.assertEqual((text.count("\nchunk "), text.count("etag")), (20, 1))

    def test_a_server_that_accepts_and_does_not_answer_is_given_up(self):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            self.serve({})
            self.server.admin_port = mute.getsockname()[1]
            self.check(UNREACHABLE, "health", "--timeout", "2", err="timed out")
        self.check(USAGE, "health", "--timeout", "0", err="--timeout is whole seconds")

    def test_pages_of_two_searches_are_not_mixed(self):
        self.serve({"fsck?after=0": self.fsck_page(0, ("k0",), next=1),
                    "fsck?after=1": self.fsck_page(1, ("k1",), searches=8)})
        out = self.check(UNREACHABLE, "fsck", "status", "--json", err="changed while it was read")
        self.assertEqual(out, "")


class StatusAndFsck(CtlCase):
    def test_health_status_and_disks_of_a_healthy_server(self):
        self.assertEqual(self.check(FINE, "health"), "healthy\n")
        answer = json.loads(self.check(FINE, "health", "--json"))
        self.assertEqual((answer["health"], answer["reason"]), ("healthy", ""))
        self.check(FINE, "status", out=r"(?m)^health +healthy$")
        status = json.loads(self.check(FINE, "status", "--json"))
        self.assertEqual(status["metadata"]["live"], self.server.data)
        self.check(FINE, "disk", "ls", out=r"(?m)^NUMBER +STATE .* PATH\n +0 +active .* /.*data$")

    def test_fsck_finds_a_whole_store_clean_and_shows_progress(self):
        self.put("a", b"x" * 100_000)
        self.check(FINE, "fsck", "--wait", out=r"(?m)^lost +0$")
        found = json.loads(self.check(FINE, "fsck", "status", "--json"))["fsck"]
        self.assertEqual((found["state"], found["is_clean"]), ("done", True))
        self.assertGreater(found["references"], 0)
        self.check(FINE, "fsck", "status", "--watch", out=r"(?m)^state +done$")



class PoolCase(unittest.TestCase):
    """A server of four disks of its own, with objects of several sizes."""

    count, args = 4, ()
    check, run_ctl = CtlCase.check, CtlCase.run_ctl

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="goodfs-ctl.")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.disks = [disks.PlainDisk(self.home, f"d{index}") for index in range(self.count)]
        self.server = Server(disks=[disk.path for disk in self.disks], args=self.args,
                             env={"GOODFS_GC_GRACE_SECONDS": "1"})
        self.addCleanup(self.server.close)
        self.server.start()
        self.objects = {}
        self.request("PUT", "/kept")
        for size in (0, 1, 5000, 200_000, 3_000_000):
            self.put(f"k{size}", os.urandom(size))

    def request(self, method, path, body=b"", headers=()):
        lean = Lean(self.server)
        try:
            reply = lean.request(method, path, body=body, headers=headers)
        finally:
            lean.close()
        self.assertIn(reply.status, (200, 204), reply)
        return reply

    def put(self, key, body, headers=()):
        self.request("PUT", f"/kept/{key}", body, headers)
        self.objects[key] = body

    def assert_all_there(self):
        for key, body in self.objects.items():
            self.assertEqual(self.request("GET", f"/kept/{key}").body, body, key)

    def ask(self, *words):
        return ctl.ask(self.server, *words)

    def disk_states(self):
        return {disk["path"]: disk["state"] for disk in self.ask("disk", "ls")["disks"]}

    def await_that(self, condition, what, limit_s=90):
        until = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > until:
                shown = [self.run_ctl(*words)[1] for words in (
                    ("status",), ("disk", "ls"), ("repair", "status"))]
                self.fail(f"{what}: not in {limit_s} s\n" + "\n".join(shown))
            time.sleep(0.1)


class PoolShows(PoolCase):
    def test_status_disks_groups_and_fragments(self):
        self.check(FINE, "health", out="^healthy$")
        status = self.ask("status")
        self.assertIn(status["metadata"]["live"], self.server.disks)
        self.check(FINE, "status", out=r"(?m)^health +healthy$")
        listed = self.check(FINE, "disk", "ls")
        self.assertEqual(len(listed.splitlines()), 5, listed)
        self.assertEqual(set(self.disk_states()), set(self.server.disks))
        groups = self.ask("pg", "ls")["groups"]
        self.assertIn("ec:2+2", {group["profile"] for group in groups})
        self.check(FINE, "pg", "ls", out=r"(?m)^GROUP +PROFILE")
        for key, width in (("k3000000", 4), ("k5000", 3)):
            info = self.ask("object", "info", f"kept/{key}", "--verify")
            for chunk in info["chunks"]:
                states = [part["state"] for part in chunk["fragments"]]
                self.assertEqual(states, ["ok"] * width, (key, chunk))
        self.assert_all_there()

    def test_a_bucket_gets_another_class(self):
        self.check(FINE, "bucket", "set", "kept", "--storage-class", "replica:3")
        self.put("three", os.urandom(600_000))
        info = self.ask("object", "info", "kept/three")
        self.assertEqual([len(chunk["fragments"]) for chunk in info["chunks"]], [3])
        self.check(NO, "bucket", "set", "kept", "--storage-class", "ec:4+2",
                   err="no storage class")
        self.assert_all_there()

    def test_scrub_repair_and_fsck(self):
        self.check(FINE, "scrub", "start", "--rate", "1GiB", "--wait", out="(?m)^found +0$")
        self.check(FINE, "scrub", "status", out="(?m)^pass ")
        self.check(FINE, "repair", "status", "--watch", out="(?m)^running +no$")
        self.check(FINE, "fsck", "--delete-orphans-anyway", "--wait", out=r"(?m)^lost +0$")
        found = self.ask("fsck", "status")["fsck"]
        self.assertEqual((found["is_clean"], found["orphans"]), (True, 0), found)

    def test_settings_of_a_disk(self):
        self.check(NO, "disk", "set", "1", "--read-only", "true", "--reserved", "1MiB",
                   err="needs 4 disks that take new data")
        disk = self.ask("disk", "ls")["disks"][1]
        self.assertEqual((disk["is_read_only"], disk["reserved"]), (False, 0), "all or nothing")
        self.check(FINE, "disk", "set", disk["path"], "--read-only", "false", "--reserved", "1MiB")
        disk = self.ask("disk", "ls")["disks"][1]
        self.assertEqual((disk["is_read_only"], disk["reserved"]), (False, 1 << 20))
        self.check(NO, "disk", "set", "99", "--read-only", "true", err="goodfsctl: ")
        self.server.restart()
        self.assertEqual(self.ask("disk", "ls")["disks"][1]["reserved"], 1 << 20)


    def test_full_disks_are_told_by_health_and_by_every_refusal(self):
        almost = str(min(disk["capacity"] for disk in self.ask("disk", "ls")["disks"]) - 1)
        self.check(FINE, "disk", "set", "2", "--reserved", almost)
        self.await_that(lambda: self.run_ctl("health")[0] == NO, "one disk is full")
        self.check(NO, "health", out="^degraded: .* full")
        for disk in "013":
            self.check(FINE, "disk", "set", disk, "--reserved", almost)
        self.await_that(lambda: self.run_ctl("health")[1].startswith("read-only: the disks"),
                        "all disks are full")
        lean = Lean(self.server)
        self.addCleanup(lean.close)
        reply = lean.request("PUT", "/kept/new", body=b"x" * 1000)
        self.assertEqual(reply.status, 507, reply)
        self.assertRegex(reply.body.decode(), "<Message>Writes are refused: the disks .* full.</")
        self.assert_all_there()
        for disk in "0123":
            self.check(FINE, "disk", "set", disk, "--reserved", "0")
        self.await_that(lambda: self.run_ctl("health")[0] == FINE, "there is room again")


class PoolChanges(PoolCase):
    def new_disk(self, name):
        self.disks.append(disks.PlainDisk(self.home, name))
        return self.disks[-1].path

    def test_add_rebalance_and_drain(self):
        added = self.new_disk("added")
        self.check(FINE, "disk", "add", added, out=re.escape(added))
        self.check(NO, "disk", "add", added, err="goodfsctl: ")
        self.check(FINE, "rebalance", "start", "--wait")
        self.check(FINE, "rebalance", "status", out="(?m)^running +no$")
        self.await_that(lambda: self.run_ctl("health")[0] == FINE, "healthy after rebalancing")
        drained = self.server.disks[0]
        self.check(FINE, "disk", "drain", drained)
        self.await_that(lambda: self.disk_states()[drained] == "removed", "drained")
        self.assert_all_there()
        self.server.disks = [disk.path for disk in self.disks if disk.path != drained]
        self.server.restart()
        self.await_that(lambda: self.run_ctl("health")[0] == FINE, "healthy after draining")
        self.assert_all_there()
        self.check(FINE, "fsck", "--wait")

    def test_too_few_disks_are_left_to_drain_another(self):
        self.check(NO, "disk", "drain", "0", err="goodfsctl: ")

    def test_a_dead_disk_is_noticed_and_replaced(self):
        dead = self.disks[2]
        dead.empty()
        self.await_that(lambda: self.run_ctl("health")[0] == NO, "the loss was noticed")
        self.check(NO, "health", out="(degraded|read-only): ")
        self.assert_all_there()
        fresh = self.new_disk("fresh")
        self.check(FINE, "disk", "replace", dead.path, fresh, out=re.escape(fresh))
        self.await_that(lambda: self.run_ctl("health")[0] == FINE, "healthy again")
        self.assert_all_there()
        self.check(FINE, "fsck", "--wait")
        self.server.disks[2] = fresh
        self.server.restart()
        self.await_that(lambda: self.run_ctl("health")[0] == FINE, "healthy after the start")
        self.assert_all_there()

    def test_stopping_the_rebalance(self):
        self.check(FINE, "disk", "add", self.new_disk("added"))
        self.check(FINE, "rebalance", "start")
        self.check(FINE, "rebalance", "stop")
        self.await_that(lambda: self.run_ctl("health")[0] == FINE, "healthy")
        self.assert_all_there()


class PoolStarts(PoolCase):
    def refused(self, *words, paths, args=()):
        env = dict(os.environ, GOODFS_ROOT_ACCESS_KEY=self.server.access_key,
                   GOODFS_ROOT_SECRET_KEY=self.server.secret_key)
        done = subprocess.run([binary(), "server", *paths, "--listen", "127.0.0.1:0",
                               "--admin-listen", "none", *args], capture_output=True, text=True,
                              check=False, timeout=60, env=env)
        self.assertEqual(done.returncode, 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_one_disk_named_is_enough_to_find_the_others(self):
        self.server.stop()
        self.server.disks = self.server.disks[2:3]
        self.server.start()
        self.check(FINE, "health")
        self.assert_all_there()

    def test_any_order_of_disks_and_one_missing_is_served(self):
        self.server.stop()
        self.server.disks = self.server.disks[::-1]
        self.server.start()
        self.assert_all_there()
        self.server.stop()
        self.disks[1].take_away()
        self.server.start()
        self.assert_all_there()
        self.check(NO, "health", out="^degraded: ")
        self.put("while-away", os.urandom(500_000))
        self.server.stop()
        self.disks[1].bring_back()
        self.server.start()
        self.await_that(lambda: self.run_ctl("health")[0] == FINE, "healthy again")
        self.assert_all_there()
        self.check(FINE, "fsck", "--wait")

    def test_too_few_disks_are_refused_or_read_only(self):
        self.server.stop()
        for disk in self.disks[:2]:
            disk.take_away()
        self.refused("disk", paths=self.server.disks)
        self.server.args = ["--allow-minority"]
        self.server.start()
        self.assert_all_there()
        self.assertEqual(self.run_ctl("health")[1][:9], "read-only")
        self.check(NO, "fsck", "--wait", out=r"(?m)^unreachable +0$")
        found = self.ask("fsck", "status")["fsck"]
        self.assertEqual(found["degraded"], found["references"])
        lean = Lean(self.server)
        self.addCleanup(lean.close)
        reply = lean.request("PUT", "/kept/new", body=b"x")
        self.assertEqual(reply.status, 503)
        text = reply.body.decode()
        self.assertIn("<Message>Writes are refused: 2 of 4 disks are there, too few.</Mess", text)
        self.assertNotIn(self.home, text)
        self.assertRegex(self.server.log(), 'err=ServiceUnavailable msg="Writes are refused: 2 of')

    def test_fsck_names_every_object_that_cannot_be_read(self):
        self.server.stop()
        for disk in self.disks[1:]:
            disk.take_away()
        self.server.args = ["--allow-minority"]
        self.server.start()
        self.check(NO, "fsck", "--wait", out="(?m)^unreachable .* kept +k3000000$")
        found = self.ask("fsck", "status")["fsck"]
        named = {entry["key"] for entry in found["objects"] if entry["state"] == "unreachable"}
        self.assertIn("k3000000", named)
        self.assertEqual((found["lost"], found["deleted"]), (0, 0))
        self.server.stop()
        for disk in self.disks[1:]:
            disk.bring_back()
        self.server.args = []
        self.server.start()
        self.await_that(lambda: self.run_ctl("health")[0] == FINE, "healthy again")
        self.check(FINE, "fsck", "--wait")
        self.assert_all_there()

    def test_a_disk_of_another_pool_is_refused(self):
        other = Server(disks=[os.path.join(self.home, f"o{index}") for index in range(2)])
        self.addCleanup(other.close)
        other.start()
        other.stop()
        self.server.stop()
        self.refused(other.disks[0], paths=self.server.disks[:3] + [other.disks[0]])

    def test_keys_are_on_every_disk_and_follow_to_new_ones(self):
        home = os.path.join(self.home, "keys")
        os.mkdir(home)
        paths = [os.path.join(home, name) for name in "abc"]
        server = Server(disks=paths)
        self.addCleanup(server.close)
        server.access_key = None
        server.start()
        kept = [os.path.join(path, "root-credentials") for path in paths]
        texts = set()
        for path in kept:
            with open(path, encoding="ascii") as file:
                texts.add(file.read())
        self.assertEqual(len(texts), 1)
        fresh = os.path.join(home, "fresh")
        os.mkdir(fresh)
        done = subprocess.run([ctl.program(), "disk", "add", fresh, "--credentials", kept[0],
                               "--admin", f"127.0.0.1:{server.admin_port}"], timeout=60,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, FINE, done.stderr)
        with open(os.path.join(fresh, "root-credentials"), encoding="ascii") as file:
            self.assertIn(file.read(), texts)


class AdminUsers(unittest.TestCase):
    """Keys that are good at the admin address and nowhere else."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="goodfs-users.")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def keys(self, name, access_key, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(f"GOODFS_ROOT_ACCESS_KEY={access_key}\n"
                       f"GOODFS_ROOT_SECRET_KEY=secret-of-{access_key}\n")
        os.chmod(path, mode)
        return path

    def start(self, *paths):
        server = Server(args=[word for path in paths for word in ("--admin-keys", path)])
        self.addCleanup(server.close)
        server.start()
        return server

    def status(self, server, *words):
        env = {name: value for name, value in os.environ.items() if not name.startswith("GOODFS_")}
        done = subprocess.run([ctl.program(), "--admin", f"127.0.0.1:{server.admin_port}", *words,
                               "status"], env=env, timeout=60, check=False, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def test_each_may_use_the_admin_address_and_nothing_else(self):
        one, two = self.keys("one", "operator-one"), self.keys("two", "operator-two")
        server = self.start(one, two)
        for path in (one, two):
            status, text = self.status(server, "--credentials", path)
            self.assertEqual(status, FINE, text)
        server.access_key, server.secret_key = "operator-one", "secret-of-operator-one"
        reply = Lean(server).request("GET", "/")
        self.assertEqual((reply.status, reply.code), (403, "InvalidAccessKeyId"))

    def test_other_keys_and_wrong_secrets_are_refused(self):
        server = self.start(self.keys("one", "operator-one"))
        stranger = self.keys("stranger", "operator-two")
        self.assertEqual(self.status(server, "--credentials", stranger)[0], UNREACHABLE)
        with open(os.path.join(self.folder, "one"), "a", encoding="ascii") as file:
            file.truncate(0)
            file.write("GOODFS_ROOT_ACCESS_KEY=operator-one\nGOODFS_ROOT_SECRET_KEY=guessed\n")
        status, text = self.status(server, "--credentials", os.path.join(self.folder, "one"))
        self.assertEqual(status, UNREACHABLE, text)

    def test_a_file_that_others_may_read_or_that_is_none_stops_the_start(self):
        for path, reason in ((self.keys("open", "operator", 0o644), "0600"),
                             (os.path.join(self.folder, "none"), "No such file")):
            server = Server(args=["--admin-keys", path])
            self.addCleanup(server.close)
            with self.assertRaisesRegex(ServerDied, reason):
                server.start()
