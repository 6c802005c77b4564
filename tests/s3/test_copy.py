"""CopyObject: sources, directives, conditions, checksums, copies onto themselves."""
import os

from harness import sigv4
from harness.case import S3Case


class Copies(S3Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = os.urandom(300000)
        cls.s3.put_object(Bucket=cls.bucket, Key="src", Body=cls.data, Metadata={"m": "1"},
                          ContentType="text/x", CacheControl="no")

    def copy(self, key, source=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["x-amz-copy-source"] = f"/{self.bucket}/src" if source is None else source
        return self.raw.request("PUT", self.path(key), headers=headers)

    def test_a_copy_has_bytes_metadata_and_its_own_date(self):
        reply = self.copy("dst")
        self.assert_reply(reply, 200)
        xml = reply.xml()
        self.assertEqual(xml.tag, "CopyObjectResult")
        head = self.s3.head_object(Bucket=self.bucket, Key="dst")
        self.assertEqual(xml.findtext("ETag"), head["ETag"])
        self.assertTrue(xml.findtext("LastModified"))
        self.assertEqual((head["Metadata"], head["ContentType"], head["CacheControl"]),
                         ({"m": "1"}, "text/x", "no"))
        self.assertEqual(self.body("dst"), self.data)

    def test_the_forms_of_the_source(self):
        self.put("a b/ü+%", b"odd")
        for source in (f"{self.bucket}/src", f"/{self.bucket}/src", f"{self.bucket}%2Fsrc",
                       f"/{self.bucket}/%73rc", f"{self.bucket}/src?versionId=null"):
            with self.subTest(source=source):
                self.assert_reply(self.copy("form", source), 200)
                self.assertEqual(self.body("form"), self.data)
        self.assert_reply(self.copy("form", f"{self.bucket}/" + sigv4.quote("a b/ü+%")), 200)
        self.assertEqual(self.body("form"), b"odd")

    def test_sources_that_are_none(self):
        for source, allowed in (
                ("", ((400, "InvalidArgument"),)), ("/", ((400, "InvalidArgument"),)),
                (self.bucket, ((400, "InvalidArgument"),)),
                (f"{self.bucket}/", ((400, "InvalidArgument"),)),
                ("//", ((400, "InvalidArgument"),)),
                (f"{self.bucket}/%zz", ((400, "InvalidArgument"), (400, "InvalidURI"))),
                (f"{self.bucket}/%", ((400, "InvalidArgument"), (400, "InvalidURI"))),
                (f"{self.bucket}/nothing", ((404, "NoSuchKey"),)),
                ("t-none/src", ((404, "NoSuchBucket"),)),
                (f"{self.bucket}/../{self.bucket}/src", ((404, "NoSuchKey"),)),
                (f"{self.bucket}/src%3FversionId=null", ((404, "NoSuchKey"),)),
                (f"{self.bucket}/src?versionId=nope", ((404, "NoSuchVersion"),
                                                       (400, "InvalidArgument")))):
            with self.subTest(source=source):
                reply = self.copy("none", source)
                self.assertIn((reply.status, reply.code), allowed, repr(reply))
                self.assert_absent("none")

    def test_replace_takes_the_requests_metadata(self):
        reply = self.copy("replaced", x_amz_metadata_directive="REPLACE", x_amz_meta_new="2",
                          content_type="text/y")
        self.assert_reply(reply, 200)
        head = self.s3.head_object(Bucket=self.bucket, Key="replaced")
        self.assertEqual((head["Metadata"], head["ContentType"], head.get("CacheControl")),
                         ({"new": "2"}, "text/y", None))

    def test_copy_directive_ignores_the_requests_metadata(self):
        self.assert_reply(self.copy("copied", x_amz_metadata_directive="COPY",
                                    x_amz_meta_new="2"), 200)
        self.assertEqual(self.s3.head_object(Bucket=self.bucket, Key="copied")["Metadata"],
                         {"m": "1"})

    def test_an_unknown_directive_is_invalid(self):
        self.assert_reply(self.copy("x", x_amz_metadata_directive="NONSENSE"), 400,
                          "InvalidArgument")

    def test_onto_itself_without_a_change_is_refused_and_with_one_is_not(self):
        self.put("self", b"same", Metadata={"a": "1"})
        source = f"{self.bucket}/self"
        self.assert_reply(self.copy("self", source), 400, "InvalidRequest")
        self.assert_reply(self.copy("self", source, x_amz_metadata_directive="COPY"), 400,
                          "InvalidRequest")
        self.assert_reply(self.copy("self", source, x_amz_metadata_directive="REPLACE",
                                    x_amz_meta_a="2"), 200)
        got = self.get("self")
        self.assertEqual((got["Metadata"], got["Body"].read()), ({"a": "2"}, b"same"))

    def test_source_conditions(self):
        etag = self.s3.head_object(Bucket=self.bucket, Key="src")["ETag"]
        past, future = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
        for headers, status in (
                ({"if_match": etag}, 200), ({"if_match": '"x"'}, 412),
                ({"if_none_match": '"x"'}, 200), ({"if_none_match": etag}, 412),
                ({"if_modified_since": past}, 200), ({"if_unmodified_since": past}, 412),
                ({"if_unmodified_since": future}, 200),
                ({"if_match": etag, "if_unmodified_since": past}, 200),
                ({"if_none_match": etag, "if_modified_since": past}, 412)):
            with self.subTest(headers=headers):
                reply = self.copy("cond", **{f"x_amz_copy_source_{name}": value
                                             for name, value in headers.items()})
                self.assertEqual(reply.status, status, repr(reply))
                self.assertEqual(reply.code, "" if status == 200 else "PreconditionFailed")

    def test_destination_conditions(self):
        self.assert_reply(self.copy("once", if_none_match="*"), 200)
        self.assert_reply(self.copy("once", if_none_match="*"), 412, "PreconditionFailed")
        self.assert_reply(self.copy("once", if_match='"x"'), 412, "PreconditionFailed")
        etag = self.s3.head_object(Bucket=self.bucket, Key="once")["ETag"]
        self.assert_reply(self.copy("once", if_match=etag), 200)

    def test_the_copy_and_its_source_live_apart(self):
        self.put("orig", self.data)
        self.assert_reply(self.copy("twin", f"{self.bucket}/orig"), 200)
        self.s3.delete_object(Bucket=self.bucket, Key="orig")
        self.assertEqual(self.body("twin"), self.data)
        self.put("twin", b"other")
        self.assertEqual(self.body("twin"), b"other")

    def test_across_buckets_and_from_a_multipart_object(self):
        other = self.new_bucket()
        upload = self.s3.create_multipart_upload(Bucket=other, Key="mp")["UploadId"]
        part = self.s3.upload_part(Bucket=other, Key="mp", UploadId=upload, PartNumber=1,
                                   Body=self.data)
        self.s3.complete_multipart_upload(Bucket=other, Key="mp", UploadId=upload, MultipartUpload={
            "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        self.assert_reply(self.copy("from-mp", f"{other}/mp"), 200)
        self.assertEqual(self.body("from-mp"), self.data)

    def test_a_checksum_can_be_asked_for(self):
        reply = self.copy("sum", x_amz_checksum_algorithm="SHA256")
        self.assert_reply(reply, 200)
        self.assertEqual(reply.xml().findtext("ChecksumSHA256"),
                         sigv4.checksum("SHA256", self.data))
        self.assert_reply(self.copy("sum", x_amz_checksum_algorithm="NONSENSE"), 400,
                          "InvalidRequest")

    def test_a_body_in_a_copy_is_never_stored(self):
        reply = self.raw.request("PUT", self.path("body"), headers={
            "x-amz-copy-source": f"{self.bucket}/src"}, body=b"stray")
        if reply.status == 200:
            self.assertEqual(self.body("body"), self.data)
        else:
            self.assert_absent("body")
