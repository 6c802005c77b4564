"""restic: a repository, backups, a full check, a restore."""
import os
import shutil
import tempfile
import unittest

import test_trees
import zoo
from harness.server import Server


class Restic(unittest.TestCase):
    def life(self, tls):
        if not shutil.which("restic"):
            self.skipTest("restic is not installed")
        home = tempfile.mkdtemp(prefix="goodfs-restic.")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        server = Server(tls=tls).start()
        self.addCleanup(server.close)
        client = zoo.Client(server, home)
        client.env.update(RESTIC_REPOSITORY=f"s3:{server.endpoint}/backups/one",
                          RESTIC_PASSWORD="secret", RESTIC_CACHE_DIR=os.path.join(home, "cache"))
        command = ["restic"] + (["--cacert", server.cert] if tls else [])
        tree = os.path.join(home, "tree")
        test_trees.make_tree(tree, 500)
        with open(os.path.join(tree, "large"), "wb") as file:
            file.write(os.urandom(30 << 20))
        client.run(*command, "init")
        client.run(*command, "backup", tree)
        os.unlink(os.path.join(tree, "large"))
        client.run(*command, "backup", tree)
        server.restart()
        client.run(*command, "check", "--read-data")
        client.run(*command, "restore", "latest", "--target", os.path.join(home, "back"))
        self.assertTrue(test_trees.same_trees(tree, os.path.join(home, "back") + tree))
        client.run(*command, "forget", "--keep-last", "1", "--prune")
        client.run(*command, "check", "--read-data")

    def test_over_http(self):
        self.life(False)

    def test_over_https(self):
        self.life(True)
