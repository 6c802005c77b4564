"""`goodfs recover`: all metadata is removed, and everything is there again."""
import glob
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import botocore.exceptions

from harness import ctl, disks
from harness.case import boto_client
from harness.server import Server, binary

MIB = 1 << 20
STRANGE = ["a", "a/b", "a//b", "/lead", "sp ace +&?#%", "tab\tnew\nline",
           "\u00fc\u4e2d\U0001f600", "x" * 1024, "\x01\x02", "trail/"]
FIELDS = ("ContentType", "CacheControl", "Metadata", "ETag", "ContentLength", "LastModified",
          "ChecksumCRC64NVME", "ChecksumSHA256", "ChecksumType", "StorageClass")


def recover(*words, program=None):
    """By `goodfs recover`, unless `goodfsctl` is the program."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GOODFS_")}
    done = subprocess.run([program or binary(), "recover", *words], capture_output=True, text=True,
                          check=False, timeout=120, env=clean)
    return done.returncode, done.stdout, done.stderr


class Recover(unittest.TestCase):
    count = 1

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="goodfs-recover.")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        names = [disks.PlainDisk(self.home, f"d{index}").path for index in range(self.count)]
        self.server = Server(disks=names)
        self.addCleanup(self.server.close)
        self.server.start()
        self.s3 = boto_client(self.server)

    def start_again(self):
        self.server.start()
        self.s3 = boto_client(self.server)

    def lose_metadata(self):
        """Of every disk, copies included. All of them had some, or the test shows nothing."""
        lost = [path for disk in self.server.disks for path in glob.glob(f"{disk}/meta*")]
        self.assertGreaterEqual(len(lost), min(self.count, 3))
        for path in lost:
            shutil.rmtree(path)

    def recover(self, *words, **more):
        report = os.path.join(self.home, "report")
        status, out, err = recover(*self.server.disks, "--report", report, *words, **more)
        self.assertEqual((status, err), (0, ""), out)
        with open(report, encoding="utf-8") as file:
            return out, [json.loads(line) for line in file]

    def seen(self):
        """Everything a client can see."""
        result = {}
        for bucket in self.s3.list_buckets()["Buckets"]:
            name = bucket["Name"]
            result[name] = str(bucket["CreationDate"])
            listing = self.s3.get_paginator("list_objects_v2").paginate(Bucket=name)
            for item in (item for page in listing for item in page.get("Contents", ())):
                got = self.s3.get_object(Bucket=name, Key=item["Key"], ChecksumMode="ENABLED")
                result[name, item["Key"]] = ([str(got.get(field)) for field in FIELDS],
                                             got["Body"].read(), str(item["LastModified"]))
            for upload in self.s3.list_multipart_uploads(Bucket=name).get("Uploads", ()):
                parts = self.s3.list_parts(Bucket=name, Key=upload["Key"],
                                           UploadId=upload["UploadId"]).get("Parts", ())
                result[name, upload["Key"], upload["UploadId"]] = [
                    (part["PartNumber"], part["ETag"], part["Size"], str(part["LastModified"]))
                    for part in parts]
        return result

    def multipart(self, bucket, key, bodies, is_completed=True, **options):
        upload = self.s3.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"]
        parts = [{"PartNumber": number, "ETag": self.s3.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)["ETag"]}
            for number, body in enumerate(bodies, 1)]
        if is_completed:
            self.s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload,
                                              MultipartUpload={"Parts": parts})
        return upload, parts

    def copy(self, bucket, source, key, **options):
        self.s3.copy_object(Bucket=bucket, Key=key,
                            CopySource={"Bucket": bucket, "Key": source}, **options)

    def fill(self):
        for bucket in ("first", "second"):
            self.s3.create_bucket(Bucket=bucket)
            for index, key in enumerate(STRANGE):
                self.s3.put_object(Bucket=bucket, Key=key, Body=os.urandom(10 * index),
                                   Metadata={"n": str(index)}, ContentType=f"text/{bucket}")
        put = self.s3.put_object
        put(Bucket="first", Key="empty", Body=b"", CacheControl="no-store")
        put(Bucket="first", Key="much-metadata", Body=b"m" * 4096, Metadata={"long": "v" * 1900})
        put(Bucket="first", Key="256k", Body=os.urandom(256 << 10))
        put(Bucket="first", Key="256k+1", Body=os.urandom((256 << 10) + 1), ContentType="a/b")
        put(Bucket="first", Key="65m", Body=os.urandom(MIB) * 65, ChecksumAlgorithm="SHA256")
        self.multipart("first", "joined",
                       [os.urandom(5 * MIB), os.urandom(5 * MIB + 1), b"tail"],
                       ContentType="video/x", Metadata={"of": "upload"})
        self.copy("first", "joined", "copy-of-joined")
        self.copy("first", "65m", "copy-with-other-headers", MetadataDirective="REPLACE",
                  ContentType="new/type")
        self.copy("first", "a", "copy-of-small")
        self.copy("first", "copy-of-small", "copy-of-copy")
        upload, _ = self.multipart("second", "open",
                                   [os.urandom(5 * MIB), os.urandom(5 * MIB + 1)], False,
                                   Metadata={"of": "open"}, ContentType="open/type")
        self.s3.upload_part_copy(Bucket="second", Key="open", UploadId=upload, PartNumber=3,
                                 CopySource={"Bucket": "first", "Key": "65m"},
                                 CopySourceRange=f"bytes=100-{66 * MIB - MIB - 5}")
        self.multipart("second", "open-without-parts", [], False)
        for body in (b"old" * 1000, os.urandom(MIB), b"new"):
            put(Bucket="second", Key="replaced", Body=body)
        return upload

    def test_everything_is_there_again(self):
        upload = self.fill()
        before = self.seen()
        self.server.stop()
        self.lose_metadata()
        out, report = self.recover("--verify")
        self.assertEqual(report, [], out)
        self.start_again()
        self.maxDiff = 2000
        self.assertEqual(sorted(map(str, before)), sorted(map(str, self.seen())))
        self.assertEqual(before, self.seen())
        # and it is a store like any other
        parts = self.s3.list_parts(Bucket="second", Key="open", UploadId=upload)["Parts"]
        self.s3.complete_multipart_upload(
            Bucket="second", Key="open", UploadId=upload, MultipartUpload={"Parts": [
                {"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]})
        head = self.s3.head_object(Bucket="second", Key="open")
        self.assertEqual((head["ContentType"], head["Metadata"]), ("open/type", {"of": "open"}))
        self.s3.delete_object(Bucket="first", Key="65m")
        self.s3.delete_object(Bucket="first", Key="joined")
        self.s3.put_object(Bucket="first", Key="a", Body=b"again")
        before = self.seen()
        self.server.restart()
        self.s3 = boto_client(self.server)
        self.assertEqual(before, self.seen())

    def test_a_store_that_was_rebuilt_can_be_rebuilt(self):
        self.fill()
        for _ in range(2):
            self.s3.put_object(Bucket="second", Key="one more", Body=os.urandom(100))
            before = self.seen()
            self.server.stop()
            self.lose_metadata()
            self.assertEqual(self.recover(program=ctl.program())[1], [])
            self.start_again()
            self.assertEqual(before, self.seen())

    def test_after_deletions_and_a_kill(self):
        self.server.stop()
        self.server.args = ["--gc-grace-seconds", "0"]
        self.start_again()
        self.fill()
        for key in ("a", "joined", "65m", "256k"):
            self.s3.delete_object(Bucket="first", Key=key)
        before = self.seen()
        self.server.kill()
        self.lose_metadata()
        _, report = self.recover()
        self.start_again()
        after = self.seen()
        # what was deleted may be there again, as docs/OPERATIONS.md says, and nothing else
        for name in [name for name in after if name not in before]:
            self.assertIn(name, [("first", key) for key in ("a", "joined", "65m", "256k")])
            del after[name]
        self.assertEqual(before, after, report)

    def test_metadata_that_is_there_is_not_replaced_unless_forced(self):
        self.s3.create_bucket(Bucket="bucket")
        self.s3.put_object(Bucket="bucket", Key="key", Body=b"x")
        before = self.seen()
        status, _, err = recover(*self.server.disks)
        self.assertEqual(status, 1, err)  # it runs
        self.server.stop()
        status, _, err = recover(*self.server.disks)
        self.assertEqual(status, 1)
        self.assertIn("--force", err)
        self.recover("--force")
        self.start_again()
        self.assertEqual(before, self.seen())

    def test_a_report_that_cannot_be_written_whole_is_no_success(self):
        self.s3.create_bucket(Bucket="bucket")
        for key in ("kept", "lost"):
            self.s3.put_object(Bucket="bucket", Key=key, Body=os.urandom(MIB))
        self.server.stop()
        self.lose_metadata()
        self.damage()
        status, _, err = recover(*self.server.disks, "--verify", "--report", "/dev/full")
        self.assertEqual(status, 1, err)
        self.assertIn("could not be written whole", err)

    def test_what_is_lost_is_reported(self):
        self.s3.create_bucket(Bucket="bucket")
        for key in ("kept", "lost"):
            self.s3.put_object(Bucket="bucket", Key=key, Body=os.urandom(MIB))
        self.server.stop()
        self.lose_metadata()
        status, _, err = recover(os.path.join(self.home, "nothing"), program=ctl.program())
        self.assertEqual(status, 1)
        self.assertIn("no disk of a store", err)
        self.damage()
        _, report = self.recover("--verify")
        self.assertEqual([(line["verdict"], line["kind"], line["bucket"]) for line in report],
                         [("left out", "object", "bucket")])
        self.start_again()
        left = [item["Key"] for item in
                self.s3.list_objects_v2(Bucket="bucket").get("Contents", ())]
        self.assertEqual(sorted([*left, report[0]["key"]]), ["kept", "lost"])
        with self.assertRaises(botocore.exceptions.ClientError):
            self.s3.head_object(Bucket="bucket", Key=report[0]["key"])

    def damage(self):
        """A byte of each fragment of one large chunk: the first in its file."""
        for disk in self.server.disks:
            for path in sorted(glob.glob(f"{disk}/bulk/*"))[:1]:
                with open(path, "r+b") as file:
                    data = file.read(8192)
                    at = next((i for i, byte in enumerate(data) if byte), 0)
                    file.seek(at)
                    file.write(bytes([data[at] ^ 1]))


class RecoverPool(Recover):
    count = 4

    def test_without_a_disk_nothing_is_rebuilt_unless_that_is_asked_for(self):
        self.s3.create_bucket(Bucket="bucket")
        keys = [f"key{index}" for index in range(16)]
        for body in (b"older", b"newest"):  # of some, each version is on another disk
            for key in keys:
                self.s3.put_object(Bucket="bucket", Key=key, Body=body, StorageClass="replica:1")
        self.server.stop()
        self.lose_metadata()
        *left, missing = self.server.disks
        os.rename(missing, missing + ".away")
        status, out, err = recover(*left)
        self.assertEqual((status, out), (1, ""))
        self.assertIn(f"{missing}: this disk of the pool is not there", err)
        self.assertFalse([path for disk in left for path in glob.glob(f"{disk}/meta*")])
        os.rename(missing + ".away", missing)
        status, out, err = recover(*self.server.disks)
        self.assertEqual(status, 0, err)
        self.assertIn("16 objects (96 bytes)", out)
        self.start_again()
        for key in keys:
            self.assertEqual(self.s3.get_object(Bucket="bucket", Key=key)["Body"].read(), b"newest")
        self.server.stop()
        self.lose_metadata()
        os.rename(missing, missing + ".away")
        status, out, err = recover(*left, "--without-disks")
        self.assertEqual(status, 0, err)
        self.assertIn("1 buckets", out)
