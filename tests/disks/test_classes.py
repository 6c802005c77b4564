"""Storage classes on four disks: by request, by bucket, by copy; and what is refused."""
import hashlib
import random
import shutil
import tempfile
import unittest

from harness import ctl
from harness.disks import PlainDisk
from harness.lean import Lean
from harness.server import Server

BUCKET = "classes"
PART_MIN = 5 << 20
SIZES = (1, 100 << 10, 200 << 10, 300 << 10, 9 << 20)


class Classes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="goodfs-disks.")
        disks = [PlainDisk(cls.home, f"d{index}").path for index in range(4)]
        cls.server = Server(disks=disks, args=["--storage-class", "STANDARD=ec:2+2",
                                               "--storage-class", "REDUCED_REDUNDANCY=replica:2"])
        cls.server.start()
        cls.lean = Lean(cls.server)
        assert cls.lean.request("PUT", f"/{BUCKET}").status == 200
        cls.rng = random.Random(4)

    @classmethod
    def tearDownClass(cls):
        cls.lean.close()
        cls.server.close()
        shutil.rmtree(cls.home, ignore_errors=True)

    def put(self, key, body, storage_class=None, bucket=BUCKET):
        headers = [("x-amz-storage-class", storage_class)] if storage_class else []
        return self.lean.request("PUT", f"/{bucket}/{key}", "", headers, body)

    def profiles(self, key, bucket=BUCKET):
        """Of the groups that the object's chunks are in."""
        listed = ctl.ask(self.server, "pg", "ls")["groups"]
        groups = {one["group"]: one["profile"] for one in listed}
        chunks = ctl.ask(self.server, "object", "info", f"{bucket}/{key}", "--verify")["chunks"]
        for chunk in chunks:
            for fragment in chunk["fragments"]:
                self.assertEqual(fragment["state"], "ok", chunk)
        return {groups[chunk["group"]] for chunk in chunks}

    def check(self, key, body, storage_class, bucket=BUCKET):
        reply = self.lean.request("GET", f"/{bucket}/{key}")
        self.assertEqual((reply.status, reply.body == body), (200, True))
        self.assertEqual(reply.headers.get("x-amz-storage-class"), storage_class)

    def test_each_class_keeps_objects_by_its_profile(self):
        cases = ((None, None, "ec:2+2"), ("STANDARD", None, "ec:2+2"),
                 ("REDUCED_REDUNDANCY", "REDUCED_REDUNDANCY", "replica:2"),
                 ("replica:3", "replica:3", "replica:3"), ("ec:2+1", "ec:2+1", "ec:2+1"))
        for asked, shown, profile in cases:
            for size in SIZES:
                body = self.rng.randbytes(size)
                key = f"{asked}-{size}".replace(":", "_").replace("+", "_")
                self.assertEqual(self.put(key, body, asked).status, 200)
                self.check(key, body, shown)
                is_small = profile.startswith("ec") and size <= 128 << 10
                small = f"replica:{int(profile[-1]) + 1}"
                self.assertEqual(self.profiles(key), {small if is_small else profile}, key)

    def test_what_is_no_class_here_is_refused_and_stores_nothing(self):
        for name in ("GLACIER", "ec:4+2", "replica:5", "replica:0", "ec:2", "ec:0+1"):
            reply = self.put("refused", b"x", name)
            self.assertEqual((reply.status, reply.code), (400, "InvalidStorageClass"), name)
        self.assertEqual(self.lean.request("GET", f"/{BUCKET}/refused").status, 404)

    def test_a_bucket_has_a_default_of_its_own(self):
        reply = self.lean.request("PUT", "/copies", "", [("x-amz-storage-class", "replica:3")])
        self.assertEqual(reply.status, 200)
        body = self.rng.randbytes(300 << 10)
        self.assertEqual(self.put("a", body, bucket="copies").status, 200)
        self.check("a", body, "replica:3", "copies")
        self.assertEqual(self.put("b", body, "STANDARD", bucket="copies").status, 200)
        self.check("b", body, None, "copies")
        status, out, err = ctl.run(self.server, "bucket", "set", "copies", "--storage-class",
                                   "REDUCED_REDUNDANCY")
        self.assertEqual(status, 0, out + err)
        self.assertEqual(self.put("c", body, bucket="copies").status, 200)
        self.check("c", body, "REDUCED_REDUNDANCY", "copies")
        self.check("a", body, "replica:3", "copies")  # what is stored stays as it is

    def test_a_copy_into_another_class_is_stored_anew(self):
        for size in SIZES:
            body = self.rng.randbytes(size)
            self.put("source", body)
            reply = self.lean.request("PUT", f"/{BUCKET}/target", "", [
                ("x-amz-copy-source", f"/{BUCKET}/source"), ("x-amz-storage-class", "replica:3")])
            self.assertEqual(reply.status, 200, reply)
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            self.assertEqual(reply.xml().findtext("ETag"), etag)
            self.check("target", body, "replica:3")
            self.assertEqual(self.profiles("target"), {"replica:3"})

    def test_an_object_changes_its_class_in_place(self):
        body = self.rng.randbytes(1 << 20)
        self.put("moved", body, "REDUCED_REDUNDANCY")
        reply = self.lean.request("PUT", f"/{BUCKET}/moved", "", [
            ("x-amz-copy-source", f"/{BUCKET}/moved"), ("x-amz-storage-class", "STANDARD")])
        self.assertEqual(reply.status, 200, reply)
        self.check("moved", body, None)
        self.assertEqual(self.profiles("moved"), {"ec:2+2"})

    def test_parts_follow_the_class_of_their_upload(self):
        first, second = self.rng.randbytes(PART_MIN), self.rng.randbytes(400 << 10)
        self.put("piece", second)
        reply = self.lean.request("POST", f"/{BUCKET}/whole", "uploads",
                                  [("x-amz-storage-class", "replica:2")])
        upload = reply.xml().findtext("UploadId")
        etags = [self.lean.request("PUT", f"/{BUCKET}/whole", [("partNumber", 1),
                                                               ("uploadId", upload)],
                                   (), first).headers["etag"]]
        reply = self.lean.request("PUT", f"/{BUCKET}/whole", [("partNumber", 2),
                                                              ("uploadId", upload)],
                                  [("x-amz-copy-source", f"/{BUCKET}/piece"),
                                   ("x-amz-copy-source-range", f"bytes=100-{len(second) - 1}")])
        self.assertEqual(reply.status, 200, reply)
        etags.append(reply.xml().findtext("ETag"))
        body = "<CompleteMultipartUpload>" + "".join(
            f"<Part><PartNumber>{index}</PartNumber><ETag>{etag}</ETag></Part>"
            for index, etag in enumerate(etags, 1)) + "</CompleteMultipartUpload>"
        reply = self.lean.request("POST", f"/{BUCKET}/whole", [("uploadId", upload)], (),
                                  body.encode())
        self.assertEqual(reply.status, 200, reply)
        self.check("whole", first + second[100:], "replica:2")
        self.assertEqual(self.profiles("whole"), {"replica:2"})
