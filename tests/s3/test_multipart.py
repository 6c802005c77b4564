"""Multipart uploads: order, sizes, replaced parts, checksums, paging, races, copies of parts."""
import base64
import concurrent.futures
import hashlib
import os

from harness import sigv4
from harness.case import S3Case

MIB = 1 << 20
MIN = 5 * MIB
XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"


class MultipartCase(S3Case):
    def start(self, key, **options):
        return self.s3.create_multipart_upload(Bucket=self.bucket, Key=key, **options)["UploadId"]

    def part(self, key, upload_id, number, body, **options):
        return self.s3.upload_part(Bucket=self.bucket, Key=key, UploadId=upload_id,
                                   PartNumber=number, Body=body, **options)["ETag"]

    def complete(self, key, upload_id, parts, headers=(), extra=None):
        """parts: (number, etag) pairs. extra: number -> XML inside that part. Raw reply."""
        items = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>"
                        f"{(extra or {}).get(number, '')}</Part>" for number, etag in parts)
        body = f'<CompleteMultipartUpload xmlns="{XMLNS}">{items}</CompleteMultipartUpload>'
        return self.raw.request("POST", self.path(key), [("uploadId", upload_id)], headers,
                                body.encode())

    def assert_refused(self, reply, code, status=400):
        """An error may come late, inside a 200."""
        self.assertEqual(reply.code, code, repr(reply))
        self.assertIn(reply.status, (200, status))


class Life(MultipartCase):
    def test_whole_life_of_three_parts(self):
        bodies = [os.urandom(MIN), os.urandom(MIN + 1), b"tail"]
        upload_id = self.start("big", Metadata={"m": "1"}, ContentType="text/x", CacheControl="no")
        self.assert_absent("big")
        etags = [self.part("big", upload_id, number + 1, body) for number, body in
                 enumerate(bodies)]
        self.assertEqual(etags, [f'"{hashlib.md5(body).hexdigest()}"' for body in bodies])
        self.assert_absent("big")
        reply = self.complete("big", upload_id, list(enumerate(etags, 1)))
        self.assert_reply(reply, 200, "")
        digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
        xml = reply.xml()
        self.assertEqual((xml.tag, xml.findtext("Bucket"), xml.findtext("Key"),
                          xml.findtext("ETag")), ("CompleteMultipartUploadResult", self.bucket,
                                                  "big", f'"{digest}-3"'))
        got = self.get("big")
        self.assertEqual((got["ETag"], got["Metadata"], got["ContentType"], got["CacheControl"]),
                         (f'"{digest}-3"', {"m": "1"}, "text/x", "no"))
        self.assertEqual(got["Body"].read(), b"".join(bodies))
        self.assertEqual(self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []), [])
        self.check_parts_of("big", bodies)

    def check_parts_of(self, key, bodies):
        offset, total = 0, sum(map(len, bodies))
        for number, body in enumerate(bodies, 1):
            reply = self.raw.request("GET", self.path(key), [("partNumber", number)])
            self.assertEqual(reply.status, 206)
            self.assertEqual(reply.body, body)
            self.assertEqual(reply.headers["content-range"],
                             f"bytes {offset}-{offset + len(body) - 1}/{total}")
            self.assertEqual(reply.headers["x-amz-mp-parts-count"], str(len(bodies)))
            head = self.raw.request("HEAD", self.path(key), [("partNumber", number)])
            self.assertEqual((head.status, head.headers["content-length"]), (206, str(len(body))))
            offset += len(body)
        reply = self.raw.request("GET", self.path(key), [("partNumber", len(bodies) + 1)])
        self.assert_reply(reply, 416, "InvalidPartNumber")
        first = len(bodies[0])
        reply = self.raw.request("GET", self.path(key), headers={
            "Range": f"bytes={first - 3}-{first + 2}"})
        self.assertEqual(reply.body, bodies[0][-3:] + bodies[1][:3])

    def test_one_small_part_is_enough(self):
        upload_id = self.start("small")
        etag = self.part("small", upload_id, 1, b"x")
        self.assert_reply(self.complete("small", upload_id, [(1, etag)]), 200, "")
        self.assertTrue(self.get("small")["ETag"].endswith('-1"'))
        self.assertEqual(self.body("small"), b"x")

    def test_sparse_and_unequal_parts(self):
        upload_id = self.start("sparse")
        bodies = {3: os.urandom(MIN), 7: os.urandom(MIN + 12345), 10000: b"end"}
        etags = [(n, self.part("sparse", upload_id, n, bodies[n])) for n in (10000, 3, 7)]
        self.assert_reply(self.complete("sparse", upload_id, sorted(etags)), 200, "")
        self.assertEqual(self.body("sparse"), b"".join(bodies[n] for n in sorted(bodies)))

    def test_parts_left_out_of_the_list_are_left_out_of_the_object(self):
        upload_id = self.start("subset")
        self.part("subset", upload_id, 1, b"unused")
        etag = self.part("subset", upload_id, 2, b"used")
        self.assert_reply(self.complete("subset", upload_id, [(2, etag)]), 200, "")
        self.assertEqual(self.body("subset"), b"used")

    def test_a_replaced_part_counts_as_uploaded_last(self):
        upload_id = self.start("replaced")
        old = self.part("replaced", upload_id, 1, b"old")
        new = self.part("replaced", upload_id, 1, b"new")
        self.assert_refused(self.complete("replaced", upload_id, [(1, old)]), "InvalidPart")
        self.assert_reply(self.complete("replaced", upload_id, [(1, new)]), 200, "")
        self.assertEqual(self.body("replaced"), b"new")

    def test_completing_twice_gives_the_same_answer(self):
        upload_id = self.start("twice")
        etag = self.part("twice", upload_id, 1, b"x")
        first = self.complete("twice", upload_id, [(1, etag)])
        second = self.complete("twice", upload_id, [(1, etag)])
        self.assert_reply(second, 200, "")
        self.assertEqual(second.xml().findtext("ETag"), first.xml().findtext("ETag"))

    def test_a_repeated_complete_never_brings_back_a_replaced_object(self):
        upload_id = self.start("late")
        etag = self.part("late", upload_id, 1, b"multipart")
        self.assert_reply(self.complete("late", upload_id, [(1, etag)]), 200, "")
        self.put("late", b"newer")
        self.complete("late", upload_id, [(1, etag)])
        self.assertEqual(self.body("late"), b"newer")

    def test_a_late_part_after_completion_changes_nothing(self):
        upload_id = self.start("done")
        etag = self.part("done", upload_id, 1, b"first")
        self.assert_reply(self.complete("done", upload_id, [(1, etag)]), 200, "")
        self.assert_client_error(404, "NoSuchUpload", self.part, "done", upload_id, 1, b"late!")
        self.assertEqual(self.body("done"), b"first")

    def test_abort_forgets_everything_and_leaves_the_old_object(self):
        self.put("aborted", b"old")
        upload_id = self.start("aborted")
        self.part("aborted", upload_id, 1, b"x")
        query = [("uploadId", upload_id)]
        self.assert_reply(self.raw.request("DELETE", self.path("aborted"), query), 204)
        for method, extra in (("DELETE", []), ("GET", []), ("PUT", [("partNumber", 1)])):
            with self.subTest(method=method):
                self.assert_reply(self.raw.request(method, self.path("aborted"), query + extra),
                                  404, "NoSuchUpload")
        self.assertEqual(self.body("aborted"), b"old")

    def test_racing_completes_and_aborts_end_in_one_state(self):
        for round_number in range(5):
            key = f"race{round_number}"
            upload_id = self.start(key)
            etag = self.part(key, upload_id, 1, b"x" * 1000)

            def act(index, key=key, upload_id=upload_id, etag=etag):
                if index % 3 == 2:
                    return self.raw.request("DELETE", self.path(key),
                                            [("uploadId", upload_id)]).status
                reply = self.complete(key, upload_id, [(1, etag)])
                return 200 if reply.status == 200 and not reply.code else 404
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                answers = list(pool.map(act, range(6)))
            self.assertEqual(self.exists(key), 200 in answers, answers)
            if 200 in answers:
                self.assertEqual(self.body(key), b"x" * 1000)


class Refused(MultipartCase):
    def test_part_numbers_outside_1_to_10000(self):
        upload_id = self.start("n")
        for number in ("0", "10001", "-1", "x", "", "1.5", "99999999999999999999"):
            with self.subTest(number=number):
                reply = self.raw.request("PUT", self.path("n"), [
                    ("partNumber", number), ("uploadId", upload_id)], body=b"x")
                self.assert_reply(reply, 400, "InvalidArgument")

    def test_unknown_upload_ids(self):
        for upload_id in ("x", "", "0" * 32, "../../etc", "%00", "é"):
            with self.subTest(upload_id=upload_id):
                query = [("uploadId", upload_id)]
                self.assert_reply(self.raw.request("PUT", self.path("u"), [
                    ("partNumber", 1)] + query, body=b"x"), 404, "NoSuchUpload")
                self.assert_reply(self.raw.request("GET", self.path("u"), query), 404,
                                  "NoSuchUpload")
                self.assert_reply(self.raw.request("DELETE", self.path("u"), query), 404,
                                  "NoSuchUpload")
                self.assert_refused(self.complete("u", upload_id, [(1, '"x"')]), "NoSuchUpload",
                                    404)

    def test_an_upload_belongs_to_its_key(self):
        upload_id = self.start("mine")
        self.assert_client_error(404, "NoSuchUpload", self.part, "other", upload_id, 1, b"x")

    def test_missing_and_wrong_parts(self):
        upload_id = self.start("m")
        etag = self.part("m", upload_id, 1, b"x")
        for parts, code in (([(2, etag)], "InvalidPart"), ([(1, '"wrong"')], "InvalidPart"),
                            ([(1, '"' + "0" * 32 + '"')], "InvalidPart"),
                            ([(1, etag), (2, etag)], "InvalidPart"), ([], "MalformedXML"),
                            ([(1, etag), (1, etag)], "InvalidPartOrder"),
                            ([(2, etag), (1, etag)], "InvalidPartOrder")):
            with self.subTest(parts=parts):
                self.assert_refused(self.complete("m", upload_id, parts), code)
        self.assert_absent("m")
        self.assert_reply(self.complete("m", upload_id, [(1, etag.strip('"'))]), 200, "")

    def test_part_numbers_of_the_list_outside_their_range(self):
        upload_id = self.start("l")
        etag = self.part("l", upload_id, 1, b"x")
        for number in ("0", "10001", "-1", "x", ""):
            with self.subTest(number=number):
                reply = self.complete("l", upload_id, [(number, etag)])
                self.assertIn(reply.code, ("InvalidPart", "InvalidArgument", "MalformedXML"))
        self.assert_absent("l")

    def test_a_part_below_five_mebibytes_that_is_not_last(self):
        upload_id = self.start("tiny")
        etags = [(1, self.part("tiny", upload_id, 1, b"x" * (MIN - 1))),
                 (2, self.part("tiny", upload_id, 2, b"y"))]
        reply = self.complete("tiny", upload_id, etags)
        self.assert_refused(reply, "EntityTooSmall")
        self.assert_absent("tiny")
        again = [(1, self.part("tiny", upload_id, 1, b"x" * MIN)), etags[1]]
        self.assert_reply(self.complete("tiny", upload_id, again), 200, "")

    def test_wrong_bodies_of_complete(self):
        upload_id = self.start("xml")
        for body in (b"", b"x", b"<CompleteMultipartUpload>", b"<Other/>",
                     b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part>"
                     b"</CompleteMultipartUpload>",
                     b"<CompleteMultipartUpload><Part><ETag>x</ETag></Part>"
                     b"</CompleteMultipartUpload>"):
            with self.subTest(body=body):
                reply = self.raw.request("POST", self.path("xml"), [("uploadId", upload_id)],
                                         body=body)
                self.assertIn(reply.code, ("MalformedXML", "InvalidRequest",
                                           "MissingRequestBodyError"), repr(reply))
                self.assertEqual(reply.status, 400)

    def test_a_too_large_part_is_refused_before_its_body(self):
        upload_id = self.start("large")
        reply = self.raw.request("PUT", self.path("large"), [
            ("partNumber", 1), ("uploadId", upload_id)], length=(5 << 30) + 1,
            payload=sigv4.UNSIGNED)
        self.assert_reply(reply, 400, "EntityTooLarge")


class Checksums(MultipartCase):
    ALL = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
    BODIES = (b"a" * MIN, b"b" * 1000)

    def upload(self, key, algorithm, kind):
        headers = {"x-amz-checksum-algorithm": algorithm}
        if kind:
            headers["x-amz-checksum-type"] = kind
        reply = self.raw.request("POST", self.path(key), "uploads", headers)
        if reply.status != 200:
            return reply, None, None
        upload_id = reply.xml().findtext("UploadId")
        parts, extra = [], {}
        for number, body in enumerate(self.BODIES, 1):
            value = self.sums(algorithm, body)
            answer = self.raw.request("PUT", self.path(key), [
                ("partNumber", number), ("uploadId", upload_id)],
                {f"x-amz-checksum-{algorithm.lower()}": value}, body)
            self.assert_reply(answer, 200)
            self.assertEqual(answer.headers.get(f"x-amz-checksum-{algorithm.lower()}"), value)
            parts.append((number, answer.headers["etag"]))
            extra[number] = f"<Checksum{algorithm}>{value}</Checksum{algorithm}>"
        return upload_id, parts, extra

    cache = {}

    @classmethod
    def sums(cls, algorithm, body):
        name = (algorithm, hashlib.md5(body).digest())
        if name not in cls.cache:
            cls.cache[name] = sigv4.checksum(algorithm, body)
        return cls.cache[name]

    def check(self, algorithm, kind, expected):
        key = f"{algorithm}{kind}"
        upload_id, parts, extra = self.upload(key, algorithm, kind)
        reply = self.complete(key, upload_id, parts, extra=extra)
        self.assert_reply(reply, 200, "")
        self.assertEqual(reply.xml().findtext(f"Checksum{algorithm}"), expected)
        head = self.raw.request("HEAD", self.path(key), headers={"x-amz-checksum-mode": "ENABLED"})
        self.assertEqual(head.headers.get(f"x-amz-checksum-{algorithm.lower()}"), expected)
        return head.headers.get("x-amz-checksum-type")

    def test_composite_is_the_checksum_of_the_parts_checksums(self):
        for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256"):
            joined = b"".join(base64.b64decode(self.sums(algorithm, body)) for body in self.BODIES)
            expected = sigv4.checksum(algorithm, joined) + "-2"
            for kind in (None, "COMPOSITE"):
                with self.subTest(algorithm=algorithm, kind=kind):
                    self.assertEqual(self.check(algorithm, kind, expected), "COMPOSITE")

    def test_full_object_is_the_checksum_of_the_bytes(self):
        for algorithm in ("CRC32", "CRC32C", "CRC64NVME"):
            expected = self.sums(algorithm, b"".join(self.BODIES))
            for kind in ("FULL_OBJECT",) + ((None,) if algorithm == "CRC64NVME" else ()):
                with self.subTest(algorithm=algorithm, kind=kind):
                    self.assertEqual(self.check(algorithm, kind, expected), "FULL_OBJECT")

    def test_kinds_that_an_algorithm_has_not(self):
        for algorithm, kind in (("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT"),
                                ("CRC64NVME", "COMPOSITE"), ("CRC32", "NONSENSE"),
                                ("NONSENSE", None)):
            with self.subTest(algorithm=algorithm, kind=kind):
                headers = {"x-amz-checksum-algorithm": algorithm}
                if kind:
                    headers["x-amz-checksum-type"] = kind
                reply = self.raw.request("POST", self.path("kind"), "uploads", headers)
                self.assert_reply(reply, 400, "InvalidRequest")

    def test_wrong_sums_of_parts_and_whole_are_refused(self):
        upload_id, parts, extra = self.upload("wrong", "CRC32", "FULL_OBJECT")
        reply = self.raw.request("PUT", self.path("wrong"), [
            ("partNumber", 1), ("uploadId", upload_id)],
            {"x-amz-checksum-crc32": "AAAAAA=="}, b"not that")
        self.assert_reply(reply, 400, "BadDigest")
        bad = {**extra, 1: "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>"}
        reply = self.complete("wrong", upload_id, parts, extra=bad)
        self.assertIn(reply.code, ("InvalidPart", "BadDigest"), repr(reply))
        reply = self.complete("wrong", upload_id, parts, {"x-amz-checksum-crc32": "AAAAAA==",
                                                          "x-amz-checksum-type": "FULL_OBJECT"},
                              extra)
        self.assert_refused(reply, "BadDigest")
        reply = self.complete("wrong", upload_id, parts, {"x-amz-checksum-type": "COMPOSITE"},
                              extra)
        self.assert_refused(reply, "InvalidRequest")
        reply = self.complete("wrong", upload_id, parts, {"x-amz-mp-object-size": "1"}, extra)
        self.assert_refused(reply, "InvalidRequest")
        self.assert_absent("wrong")
        whole = {"x-amz-checksum-crc32": self.sums("CRC32", b"".join(self.BODIES)),
                 "x-amz-mp-object-size": str(sum(map(len, self.BODIES)))}
        self.assert_reply(self.complete("wrong", upload_id, parts, whole, extra), 200, "")

    def test_without_an_algorithm_parts_may_carry_any_and_crc64nvme_covers_the_whole(self):
        upload_id = self.start("plain")
        parts = []
        for number, body in enumerate(self.BODIES, 1):
            answer = self.raw.request("PUT", self.path("plain"), [
                ("partNumber", number), ("uploadId", upload_id)], body=body)
            parts.append((number, answer.headers["etag"]))
        self.assert_reply(self.complete("plain", upload_id, parts), 200, "")
        head = self.raw.request("HEAD", self.path("plain"),
                                headers={"x-amz-checksum-mode": "ENABLED"})
        self.assertEqual(head.headers.get("x-amz-checksum-crc64nvme"),
                         self.sums("CRC64NVME", b"".join(self.BODIES)))

    def test_attributes_list_the_parts(self):
        upload_id, parts, extra = self.upload("attr", "SHA256", None)
        self.assert_reply(self.complete("attr", upload_id, parts, extra=extra), 200, "")
        reply = self.raw.request("GET", self.path("attr"), "attributes", {
            "x-amz-object-attributes": "ObjectParts,ObjectSize,ETag,Checksum"})
        self.assert_reply(reply, 200)
        found = reply.xml().find("ObjectParts")
        count = found.findtext("PartsCount") or found.findtext("TotalPartsCount")
        self.assertEqual(count, "2")
        shown = [(node.findtext("PartNumber"), node.findtext("Size"),
                  node.findtext("ChecksumSHA256")) for node in found.findall("Part")]
        self.assertEqual(shown, [(str(n), str(len(body)), self.sums("SHA256", body))
                                 for n, body in enumerate(self.BODIES, 1)])
        paged = self.raw.request("GET", self.path("attr"), "attributes", {
            "x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": "1"})
        parts_xml = paged.xml().find("ObjectParts")
        self.assertEqual((parts_xml.findtext("IsTruncated"), len(parts_xml.findall("Part")),
                          parts_xml.findtext("NextPartNumberMarker")), ("true", 1, "1"))


class Lists(MultipartCase):
    def test_list_parts_with_paging(self):
        upload_id = self.start("lp")
        etags = [self.part("lp", upload_id, n, b"x" * n) for n in (1, 2, 5, 9)]
        answer = self.s3.list_parts(Bucket=self.bucket, Key="lp", UploadId=upload_id)
        self.assertEqual([(p["PartNumber"], p["Size"], p["ETag"]) for p in answer["Parts"]],
                         list(zip((1, 2, 5, 9), (1, 2, 5, 9), etags)))
        self.assertEqual((answer["IsTruncated"], answer["MaxParts"], answer["StorageClass"]),
                         (False, 1000, "STANDARD"))
        self.assertTrue(answer["Initiator"]["ID"] and answer["Owner"]["ID"])
        page = self.s3.list_parts(Bucket=self.bucket, Key="lp", UploadId=upload_id, MaxParts=2,
                                  PartNumberMarker=1)
        self.assertEqual([p["PartNumber"] for p in page["Parts"]], [2, 5])
        self.assertEqual((page["IsTruncated"], page["NextPartNumberMarker"]), (True, 5))
        for name, value in (("max-parts", "-1"), ("max-parts", "x"), ("part-number-marker", "-1"),
                            ("part-number-marker", "x"), ("max-parts", "1000000000000")):
            reply = self.raw.request("GET", self.path("lp"), [("uploadId", upload_id),
                                                              (name, value)])
            self.assert_reply(reply, 400, "InvalidArgument")

    def test_list_uploads_by_prefix_delimiter_and_pages(self):
        bucket = self.new_bucket()
        keys = ["a", "a", "a/b", "a/c", "b/x", "c"]
        ids = [self.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in keys]
        answer = self.s3.list_multipart_uploads(Bucket=bucket)
        self.assertEqual([u["Key"] for u in answer["Uploads"]], keys)
        self.assertEqual({u["UploadId"] for u in answer["Uploads"]}, set(ids))
        answer = self.s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
        self.assertEqual([u["Key"] for u in answer["Uploads"]], ["a", "a", "c"])
        self.assertEqual([p["Prefix"] for p in answer["CommonPrefixes"]], ["a/", "b/"])
        answer = self.s3.list_multipart_uploads(Bucket=bucket, Prefix="a/")
        self.assertEqual([u["Key"] for u in answer["Uploads"]], ["a/b", "a/c"])
        for size in range(1, 8):
            self.check_upload_pages(bucket, size, keys, ids)
        for name, value in (("max-uploads", "-1"), ("max-uploads", "x")):
            self.assert_reply(self.raw.request("GET", f"/{bucket}", [("uploads", None),
                                                                     (name, value)]), 400,
                              "InvalidArgument")

    def check_upload_pages(self, bucket, size, keys, ids):
        seen, options = [], {}
        for _ in range(20):
            page = self.s3.list_multipart_uploads(Bucket=bucket, MaxUploads=size, **options)
            self.assertLessEqual(len(page["Uploads"]), size)
            seen += [(u["Key"], u["UploadId"]) for u in page["Uploads"]]
            if not page["IsTruncated"]:
                break
            options = {"KeyMarker": page["NextKeyMarker"],
                       "UploadIdMarker": page["NextUploadIdMarker"]}
        self.assertEqual([key for key, _ in seen], keys)
        self.assertEqual({upload for _, upload in seen}, set(ids))


class PartCopies(MultipartCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = os.urandom(MIN + 1000)
        cls.s3.put_object(Bucket=cls.bucket, Key="src", Body=cls.data)

    def copy(self, upload_id, number, headers, key="dst"):
        headers = {"x-amz-copy-source": f"{self.bucket}/src", **headers}
        return self.raw.request("PUT", self.path(key), [("partNumber", number),
                                                        ("uploadId", upload_id)], headers)

    def test_whole_and_ranged_parts(self):
        upload_id = self.start("dst")
        first = self.copy(upload_id, 1, {})
        self.assert_reply(first, 200)
        self.assertEqual(first.xml().tag, "CopyPartResult")
        second = self.copy(upload_id, 2, {"x-amz-copy-source-range": "bytes=10-1009"})
        etags = [(1, first.xml().findtext("ETag")), (2, second.xml().findtext("ETag"))]
        self.assertEqual(etags[1][1], f'"{hashlib.md5(self.data[10:1010]).hexdigest()}"')
        self.assert_reply(self.complete("dst", upload_id, etags), 200, "")
        self.assertEqual(self.body("dst"), self.data + self.data[10:1010])

    def test_wrong_ranges(self):
        upload_id = self.start("dst")
        size = len(self.data)
        for value in ("bytes=0-", "bytes=-5", "bytes=5-2", "0-5", "bytes=a-b", "bytes=0-1,3-4",
                      f"bytes=0-{size}", f"bytes={size}-{size + 5}"):
            with self.subTest(value=value):
                reply = self.copy(upload_id, 1, {"x-amz-copy-source-range": value})
                self.assertIn((reply.status, reply.code), (
                    (400, "InvalidArgument"), (400, "InvalidRequest"), (416, "InvalidRange")))
        self.assertNotIn("Parts", self.s3.list_parts(Bucket=self.bucket, Key="dst",
                                                     UploadId=upload_id))

    def test_conditions_and_missing_sources(self):
        upload_id = self.start("dst")
        self.assert_reply(self.copy(upload_id, 1, {"x-amz-copy-source-if-match": '"x"'}), 412,
                          "PreconditionFailed")
        self.assert_reply(self.copy(upload_id, 1, {
            "x-amz-copy-source": f"{self.bucket}/none"}), 404, "NoSuchKey")
        self.assert_reply(self.copy(upload_id, 1, {"x-amz-copy-source": "t-none/x"}), 404,
                          "NoSuchBucket")
        self.assert_reply(self.copy("0" * 32, 1, {}), 404, "NoSuchUpload")

    def test_the_copy_outlives_its_source(self):
        self.put("gone", self.data)
        upload_id = self.start("lives")
        reply = self.copy(upload_id, 1, {"x-amz-copy-source": f"{self.bucket}/gone"}, "lives")
        self.s3.delete_object(Bucket=self.bucket, Key="gone")
        self.assert_reply(self.complete("lives", upload_id, [
            (1, reply.xml().findtext("ETag"))]), 200, "")
        self.assertEqual(self.body("lives"), self.data)
