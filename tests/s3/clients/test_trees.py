"""A directory tree of many small files: synced, synced again (nothing moves), read back."""
import filecmp
import os
import random
import shutil
import subprocess
import tempfile
import time
import unittest

import zoo
from harness.case import boto_client
from harness.server import Server

FILES = int(os.environ.get("GOODFS_TREE_FILES", "10000"))


def make_tree(folder, count):
    """Files of 0 to 4,000 bytes, 100 a folder; names with what shells and URLs dislike."""
    rng = random.Random(count)
    for index in range(count):
        parent = os.path.join(folder, f"d{index // 1000}", f"e {index // 100 % 10}")
        os.makedirs(parent, exist_ok=True)
        name = f"f{index}" + ("", " b", "+c", "é", "&d", "%20")[index % 6]
        with open(os.path.join(parent, name), "wb") as file:
            file.write(rng.randbytes(rng.choice((0, 1, 10, 100, 1000, 4000))))


def same_trees(first, second):
    found = filecmp.dircmp(first, second)
    if found.left_only or found.right_only or found.funny_files:
        return False
    _, different, errors = filecmp.cmpfiles(first, second, found.common_files, shallow=False)
    return not different and not errors and all(
        same_trees(os.path.join(first, name), os.path.join(second, name))
        for name in found.common_dirs)


class Trees(unittest.TestCase):
    limit_s = 590

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="goodfs-trees.")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.server = Server().start()
        cls.addClassCleanup(cls.server.close)
        cls.s3 = boto_client(cls.server)
        cls.trees = {}

    def tree(self, count):
        if count not in self.trees:
            self.trees[count] = os.path.join(self.home, f"tree{count}")
            make_tree(self.trees[count], count)
        return self.trees[count]

    def stored(self, bucket):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {item["Key"]: (item["ETag"], item["LastModified"])
                for page in pages for item in page.get("Contents", [])}

    def check(self, kind, count, second_is_silent=True, is_killed=False):
        if kind.missing():
            self.skipTest(kind.missing())
        client = kind(self.server, tempfile.mkdtemp(dir=self.home))
        tree, bucket = self.tree(count), f"tree-of-{kind.name}"
        self.s3.create_bucket(Bucket=bucket)
        client.sync(tree, client.tree_target(bucket))
        first = self.stored(bucket)
        self.assertEqual(len(first), count)
        again = client.sync(tree, client.tree_target(bucket))
        self.assertEqual(self.stored(bucket), first)
        if second_is_silent:
            self.assertEqual(again, "")
        if is_killed:
            self.server.kill()
            self.server.start()
        else:
            self.server.restart()
        self.assertEqual(self.stored(bucket), first)
        return client, bucket

    def test_rclone_sync(self):
        client, bucket = self.check(zoo.Rclone, FILES, is_killed=True)
        back = os.path.join(self.home, "back-rclone")
        client.sync(client.tree_target(bucket), back)
        self.assertTrue(same_trees(self.tree(FILES), back))

    def test_current_aws_sync(self):
        client, bucket = self.check(zoo.CurrentAws, FILES)
        back = os.path.join(self.home, "back-aws")
        rclone = zoo.Rclone(self.server, client.home)  # quicker, and a second opinion
        rclone.sync(rclone.tree_target(bucket), back)
        self.assertTrue(same_trees(self.tree(FILES), back))

    def test_debian_aws_sync(self):
        count = FILES if zoo.CurrentAws.missing() else min(FILES, 1000)
        client, bucket = self.check(zoo.DebianAws, count)
        back = os.path.join(self.home, "back-debian-aws")
        client.sync(client.tree_target(bucket), back)
        self.assertTrue(same_trees(self.tree(count), back))

    def test_s3cmd_sync(self):
        count = min(FILES, 300)
        self.check(zoo.S3cmd, count, second_is_silent=False)

    def test_rclone_sync_goes_on_after_the_server_was_killed_in_the_middle(self):
        if zoo.Rclone.missing():
            self.skipTest(zoo.Rclone.missing())
        count = min(FILES, 3000)
        tree, client = self.tree(count), zoo.Rclone(self.server, tempfile.mkdtemp(dir=self.home))
        self.s3.create_bucket(Bucket="killed")
        with subprocess.Popen(["rclone", "sync", tree, client.tree_target("killed")],
                              env=client.env, cwd=client.home, stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as rclone:
            while rclone.poll() is None and len(self.stored("killed")) < count // 10:
                time.sleep(0.01)
            self.server.kill()
            self.server.start()
            rclone.wait()  # it tries again by itself, as often as it likes
        client.sync(tree, client.tree_target("killed"))
        self.assertEqual(len(self.stored("killed")), count)
        back = os.path.join(self.home, "back-killed")
        client.sync(client.tree_target("killed"), back)
        self.assertTrue(same_trees(tree, back))
