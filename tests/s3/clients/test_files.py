"""Files of the sizes that matter, up and down with every client, over http and https, and the same
bytes after a restart."""
import filecmp
import os
import shutil
import tempfile
import unittest

import zoo
from harness import raw
from harness.server import Server

SIZES = {"empty": 0, "one": 1, "page": 4096, "just over a part.bin": (5 << 20) + 1,
         "folder/hundred": 100 << 20}
KEY_OF = {name: name.replace(" ", "-") for name in SIZES}


def make_files(folder):
    for name, size in SIZES.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            while size > 0:
                piece = os.urandom(min(size, 1 << 20))
                file.write(piece)
                size -= len(piece)


class FilesCase(unittest.TestCase):
    tls = False
    limit_s = 280

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="goodfs-clients.")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.files = os.path.join(cls.home, "files")
        make_files(cls.files)
        cls.server = Server(tls=cls.tls).start()
        cls.addClassCleanup(cls.server.close)

    def life(self, kind):
        """make, put, list, get, restart, get, delete, unmake."""
        if kind.missing():
            self.skipTest(kind.missing())
        home = tempfile.mkdtemp(prefix=kind.name, dir=self.home)
        client, bucket = kind(self.server, home), f"bucket-of-{kind.name}"
        client.make(bucket)
        for name, key in KEY_OF.items():
            client.put(bucket, key, os.path.join(self.files, name))
        self.assertEqual(sorted(client.list(bucket)), sorted(KEY_OF.values()))
        self.check_bytes(client, bucket, KEY_OF)
        self.server.restart()
        self.check_stored(bucket)
        self.check_bytes(client, bucket, {name: key for name, key in KEY_OF.items()
                                          if SIZES[name] < 10 << 20})
        client.delete(bucket, list(KEY_OF.values()))
        self.assertEqual(client.list(bucket), [])
        client.unmake(bucket)
        shutil.rmtree(home)

    def check_bytes(self, client, bucket, names):
        for name, key in names.items():
            copy = os.path.join(client.home, "copy")
            client.get(bucket, key, copy)
            self.assertTrue(filecmp.cmp(os.path.join(self.files, name), copy, shallow=False),
                            f"{client.name}: {name} differs")
            os.unlink(copy)

    def check_stored(self, bucket):
        for name, key in KEY_OF.items():
            reply = raw.Raw(self.server).request("GET", f"/{bucket}/{key}")
            with open(os.path.join(self.files, name), "rb") as file:
                self.assertEqual((reply.status, reply.body == file.read()), (200, True), name)


def _add_tests(case, kinds):
    for kind in kinds:
        def test(self, kind=kind):
            self.life(kind)
        setattr(case, "test_" + kind.name.replace("-", "_"), test)


class OverHttp(FilesCase):
    pass


class OverHttps(FilesCase):
    tls = True


_add_tests(OverHttp, zoo.ALL)
_add_tests(OverHttps, zoo.ALL)
del FilesCase  # a base class only: not to be collected
