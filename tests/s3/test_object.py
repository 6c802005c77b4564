"""PUT, GET, HEAD and DELETE of objects: bytes, metadata, headers, ranges, overrides."""
import hashlib
import os

from harness import sigv4
from harness.case import S3Case


class PutGet(S3Case):
    def test_bytes_length_and_etag_for_the_sizes_that_matter(self):
        for size in (0, 1, 4095, 4096, 65535, 65536, 65537, 131072, 262143, 262144, 262145,
                     (1 << 20) + 7, (5 << 20) + 1):
            data = os.urandom(size)
            with self.subTest(size=size):
                answer = self.put(f"s{size}", data)
                etag = f'"{hashlib.md5(data).hexdigest()}"'
                self.assertEqual(answer["ETag"], etag)
                got = self.get(f"s{size}")
                self.assertEqual((got["ContentLength"], got["ETag"]), (size, etag))
                self.assertEqual(got["Body"].read(), data)
                head = self.s3.head_object(Bucket=self.bucket, Key=f"s{size}")
                self.assertEqual((head["ContentLength"], head["ETag"]), (size, etag))

    def test_overwriting_replaces_bytes_and_headers(self):
        self.put("k", b"first" * 100000, Metadata={"a": "1"}, ContentType="text/plain")
        self.put("k", b"second")
        got = self.get("k")
        self.assertEqual((got["Body"].read(), got["Metadata"], got["ContentType"]),
                         (b"second", {}, "binary/octet-stream"))

    def test_missing_keys(self):
        self.assert_client_error(404, "NoSuchKey", self.get, "none")
        self.assert_reply(self.raw.request("HEAD", self.path("none")), 404)
        self.assert_reply(self.raw.request("DELETE", self.path("none")), 204)

    def test_head_has_no_body_and_the_headers_of_get(self):
        self.put("k", b"hello", Metadata={"m": "v"}, CacheControl="no-store")
        got = self.raw.request("GET", self.path("k")).headers
        head = self.raw.request("HEAD", self.path("k")).headers
        for name in ("content-length", "etag", "last-modified", "content-type", "accept-ranges",
                     "x-amz-meta-m", "cache-control"):
            self.assertEqual(head.get(name), got.get(name), name)
            self.assertIn(name, got)

    def test_delete_makes_it_absent_and_is_repeatable(self):
        self.put("d")
        for _ in range(2):
            self.assert_reply(self.raw.request("DELETE", self.path("d")), 204)
            self.assert_absent("d")

    def test_a_put_without_a_length_is_refused(self):
        reply = self.raw.request("PUT", self.path("nolen"), length=False)
        self.assert_reply(reply, 411, "MissingContentLength")
        self.assert_absent("nolen")

    def test_too_large_a_put_is_refused_before_its_body(self):
        for length in ((5 << 30) + 1, 1 << 62):
            reply = self.raw.request("PUT", self.path("huge"), length=length,
                                     payload=sigv4.UNSIGNED)
            with self.subTest(length=length):
                self.assert_reply(reply, 400, "EntityTooLarge")
        self.assert_absent("huge")


class Headers(S3Case):
    def test_system_headers_come_back(self):
        reply = self.raw.request("PUT", self.path("sys"), headers={
            "Cache-Control": "max-age=5", "Content-Disposition": 'attachment; filename="a b.txt"',
            "Content-Encoding": "gzip", "Content-Language": "de-DE",
            "Content-Type": "text/plain; charset=utf-8",
            "Expires": "Thu, 01 Dec 2033 16:00:00 GMT"}, body=b"x")
        self.assert_reply(reply, 200)
        for method in ("GET", "HEAD"):
            headers = self.raw.request(method, self.path("sys")).headers
            self.assertEqual([headers.get(name) for name in (
                "cache-control", "content-disposition", "content-encoding", "content-language",
                "content-type", "expires")], [
                "max-age=5", 'attachment; filename="a b.txt"', "gzip", "de-DE",
                "text/plain; charset=utf-8", "Thu, 01 Dec 2033 16:00:00 GMT"])

    def test_user_metadata_comes_back_with_lower_case_names(self):
        reply = self.raw.request("PUT", self.path("meta"), headers={
            "X-Amz-Meta-UPPER": "Value", "x-amz-meta-empty": "", "x-amz-meta-dash-es": "a,b  c"},
            body=b"x")
        self.assert_reply(reply, 200)
        headers = self.raw.request("HEAD", self.path("meta")).headers
        self.assertEqual(headers.get("x-amz-meta-upper"), "Value")
        self.assertEqual(headers.get("x-amz-meta-empty"), "")
        self.assertEqual(headers.get("x-amz-meta-dash-es", "").replace("  ", " "), "a,b c")

    def test_user_metadata_of_two_kibibytes_fits_and_one_byte_more_is_refused(self):
        # names count without their prefix, as S3 documents: 2,048 bytes in all
        self.put("fits", Metadata={"n" * 48: "v" * 2000})
        self.assert_client_error(400, "MetadataTooLarge", self.put, "too-much",
                                 Metadata={"n" * 48: "v" * 2001})
        self.assert_absent("too-much")

    def test_response_overrides_apply_to_signed_reads(self):
        self.put("over", b"x")
        answer = self.get("over", ResponseContentType="text/css", ResponseCacheControl="private",
                          ResponseContentDisposition="inline", ResponseContentEncoding="br",
                          ResponseContentLanguage="en",
                          ResponseExpires="Thu, 01 Dec 2033 16:00:00 GMT")
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        self.assertEqual([headers.get(name) for name in (
            "content-type", "cache-control", "content-disposition", "content-encoding",
            "content-language", "expires")], [
            "text/css", "private", "inline", "br", "en", "Thu, 01 Dec 2033 16:00:00 GMT"])

    def test_headers_of_features_that_are_not_there_are_never_ignored(self):
        for name, value in (("x-amz-server-side-encryption", "aws:kms"),
                            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
                            ("x-amz-tagging", "a=b"), ("x-amz-object-lock-mode", "GOVERNANCE"),
                            ("x-amz-object-lock-legal-hold", "ON"),
                            ("x-amz-website-redirect-location", "/x"),
                            ("x-amz-grant-read", "id=1"), ("x-amz-write-offset-bytes", "0")):
            with self.subTest(name=name):
                reply = self.raw.request("PUT", self.path("feature"), headers={name: value},
                                         body=b"x")
                self.assert_reply(reply, 501, "NotImplemented")
                self.assert_absent("feature")

    def test_storage_classes(self):
        self.put("class", StorageClass="STANDARD")
        self.assert_client_error(400, "InvalidStorageClass", self.put, "class2",
                                 StorageClass="NONSENSE")
        self.assert_absent("class2")

    def test_private_acl_is_accepted(self):
        self.put("acl", ACL="private")


class Ranges(S3Case):
    DATA = bytes(range(100))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s3.put_object(Bucket=cls.bucket, Key="r", Body=cls.DATA)
        cls.s3.put_object(Bucket=cls.bucket, Key="empty", Body=b"")
        cls.big = os.urandom(3 << 20)
        cls.s3.put_object(Bucket=cls.bucket, Key="big", Body=cls.big)

    def ranged(self, value, key="r", method="GET"):
        return self.raw.request(method, self.path(key), headers={"Range": value})

    def test_satisfiable_ranges(self):
        for value, first, last in (
                ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=0-100", 0, 99),
                ("bytes=0-", 0, 99), ("bytes=50-", 50, 99), ("bytes=99-99", 99, 99),
                ("bytes=10-19", 10, 19), ("bytes=-1", 99, 99), ("bytes=-100", 0, 99),
                ("bytes=-101", 0, 99), ("bytes=00-01", 0, 1),
                ("bytes=0-99999999999999999999999", 0, 99)):
            with self.subTest(value=value):
                reply = self.ranged(value)
                self.assert_reply(reply, 206)
                self.assertEqual(reply.headers["content-range"], f"bytes {first}-{last}/100")
                self.assertEqual(reply.body, self.DATA[first:last + 1])

    def test_unsatisfiable_ranges(self):
        for value in ("bytes=100-", "bytes=100-110", "bytes=-0", "bytes=1000-2000"):
            with self.subTest(value=value):
                reply = self.ranged(value)
                self.assert_reply(reply, 416, "InvalidRange")
                self.assertEqual(reply.xml().findtext("ActualObjectSize"), "100")
        self.assert_reply(self.ranged("bytes=0-0", "empty"), 416, "InvalidRange")

    def test_ranges_that_are_none_are_ignored(self):
        for value in ("bytes=", "bytes=,", "bytes=a-b", "bytes=10-5", "foo=0-1", "bytes=--1",
                      "bytes=0--1", "bytes=0-0,1-2", "0-1", "bytes 0-1"):
            with self.subTest(value=value):
                reply = self.ranged(value)
                self.assert_reply(reply, 200)
                self.assertEqual(reply.body, self.DATA)

    def test_ranges_over_block_and_chunk_edges(self):
        size = len(self.big)
        for first, last in ((65535, 65536), (65536, 131071), (0, size - 1), (size - 1, size - 1),
                            (1 << 20, (2 << 20) + 1), (262143, 262145)):
            reply = self.ranged(f"bytes={first}-{last}", "big")
            self.assertEqual(reply.body, self.big[first:last + 1], (first, last))

    def test_head_with_a_range(self):
        reply = self.ranged("bytes=1-3", method="HEAD")
        self.assertEqual((reply.status, reply.headers.get("content-length"),
                          reply.headers.get("content-range")), (206, "3", "bytes 1-3/100"))

    def test_part_number_one_of_a_plain_object_is_all_of_it(self):
        reply = self.raw.request("GET", self.path("r"), "partNumber=1")
        self.assertIn(reply.status, (200, 206))
        self.assertEqual(reply.body, self.DATA)
        self.assert_reply(self.raw.request("GET", self.path("r"), "partNumber=2"), 416,
                          "InvalidPartNumber")
        for value in ("0", "10001", "x", "-1"):
            with self.subTest(value=value):
                reply = self.raw.request("GET", self.path("r"), [("partNumber", value)])
                self.assert_reply(reply, 400, "InvalidArgument")

    def test_range_and_part_number_together_are_invalid(self):
        reply = self.raw.request("GET", self.path("r"), "partNumber=1",
                                 headers={"Range": "bytes=0-1"})
        self.assert_reply(reply, 400, "InvalidRequest")


class Attributes(S3Case):
    def test_only_what_was_asked_for(self):
        self.put("a", b"hello", ChecksumAlgorithm="SHA256")
        answer = self.s3.get_object_attributes(
            Bucket=self.bucket, Key="a",
            ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass", "ObjectParts"])
        self.assertEqual((answer["ETag"], answer["ObjectSize"], answer["StorageClass"]),
                         ("5d41402abc4b2a76b9719d911017c592", 5, "STANDARD"))
        self.assertEqual(answer["Checksum"]["ChecksumSHA256"], sigv4.checksum("SHA256", b"hello"))
        self.assertNotIn("ObjectParts", answer)
        answer = self.s3.get_object_attributes(Bucket=self.bucket, Key="a",
                                               ObjectAttributes=["ObjectSize"])
        self.assertEqual({"ETag", "Checksum", "StorageClass"} & set(answer), set())

    def test_wrong_requests(self):
        self.put("a", b"hello")
        self.assert_reply(self.raw.request("GET", self.path("a"), "attributes"), 400,
                          "InvalidRequest")
        reply = self.raw.request("GET", self.path("a"), "attributes",
                                 headers={"x-amz-object-attributes": "Nonsense"})
        self.assert_reply(reply, 400, "InvalidArgument")
        self.assert_client_error(404, "NoSuchKey", self.s3.get_object_attributes,
                                 Bucket=self.bucket, Key="none", ObjectAttributes=["ETag"])
