"""goodfsctl against a server: every verb, what it prints, how it ends."""
import json
import os
import re
import subprocess
import tempfile

from harness import ctl
from harness.case import S3Case

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
        for verb in verbs:
            self.check(FINE, "help", *verb.split(), out=f"^usage: goodfsctl {verb}")
            self.check(FINE, *verb.split(), "--help", out=f"^usage: goodfsctl {verb}")

    def test_wrong_usage_ends_with_2_and_says_what(self):
        for words, err in (((), "usage"), (("disk",), "usage"), (("disk", "fly"), "usage"),
                           (("help", "nothing"), "usage"), (("disk", "add"), "PATH"),
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
        self.check(NO, "bucket", "set", bucket, "--storage-class", "ec:4+2",
                   err=r'InvalidArgument: there is no storage class "ec:4\+2"')
        self.check(NO, "bucket", "set", "no-such-bucket", "--storage-class", "STANDARD",
                   err="NotFound")


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

