"""s3fs: a bucket as a directory. Skipped where nothing can be mounted."""
import filecmp
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import test_trees
import zoo
from harness.case import boto_client
from harness.server import Server


class S3fs(zoo.Client):
    name, program = "s3fs", "s3fs"

    def mount(self, bucket, folder):
        secret = os.path.join(self.home, "passwd-s3fs")
        with open(os.open(secret, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(f"{self.server.access_key}:{self.server.secret_key}\n")
        os.makedirs(folder, exist_ok=True)
        self.run("s3fs", bucket, folder, "-o", f"url={self.server.endpoint}", "-o",
                 "use_path_request_style", "-o", f"passwd_file={secret}")

    @staticmethod
    def unmount(folder):
        for _ in range(50):
            if subprocess.run(["fusermount", "-u", folder], check=False,
                              capture_output=True).returncode == 0:
                return
            time.sleep(0.1)  # still writing
        subprocess.run(["fusermount", "-uz", folder], check=True)


class Mount(unittest.TestCase):
    limit_s = 120

    def setUp(self):
        if S3fs.missing():
            self.skipTest(S3fs.missing())
        self.home = tempfile.mkdtemp(prefix="goodfs-s3fs.")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.server = Server().start()
        self.addCleanup(self.server.close)
        self.s3 = boto_client(self.server)
        self.s3.create_bucket(Bucket="mounted")
        self.client = S3fs(self.server, self.home)
        self.folder = os.path.join(self.home, "mount")

    def mount(self):
        try:
            self.client.mount("mounted", self.folder)
        except zoo.ClientFailed as error:
            self.skipTest(f"s3fs mounts nothing here: {str(error).splitlines()[-1]}")
        if not os.path.ismount(self.folder):
            self.skipTest("s3fs mounts nothing here")
        self.addCleanup(self.unmount)

    def unmount(self):
        if os.path.ismount(self.folder):
            self.client.unmount(self.folder)

    def test_files_written_changed_and_renamed_are_there_after_a_restart(self):
        tree, copy = os.path.join(self.home, "tree"), os.path.join(self.folder, "tree")
        test_trees.make_tree(tree, 60)
        with open(os.path.join(tree, "large"), "wb") as file:
            file.write(os.urandom(30 << 20))
        self.mount()
        shutil.copytree(tree, copy)
        for folder in (tree, copy):
            with open(os.path.join(folder, "large"), "r+b") as file:
                file.seek(12345678)
                file.write(b"changed in the middle")
            os.rename(os.path.join(folder, "large"), os.path.join(folder, "renamed"))
            os.unlink(os.path.join(folder, "d0", "e 0", "f0"))
        self.unmount()
        self.server.restart()
        self.mount()
        self.assertTrue(test_trees.same_trees(tree, copy))
        self.unmount()
        back = os.path.join(self.home, "back")
        self.s3.download_file("mounted", "tree/renamed", back)
        self.assertTrue(filecmp.cmp(os.path.join(tree, "renamed"), back, shallow=False))
