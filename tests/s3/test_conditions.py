"""Conditional reads, writes, deletes, copies and completions."""
import concurrent.futures
import datetime
import email.utils
import hashlib
import itertools
import time

from harness import raw, sigv4
from harness.case import S3Case, boto_client


def http_date(seconds):
    return email.utils.format_datetime(
        datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds), True)


def quoted_md5(data):
    return f'"{hashlib.md5(data).hexdigest()}"'


PAST, FUTURE = http_date(-86400), http_date(3600)


class Reads(S3Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s3.put_object(Bucket=cls.bucket, Key="k", Body=b"hello")
        cls.etag = quoted_md5(b"hello")

    @staticmethod
    def expected(match, none_match, modified, unmodified):
        """RFC 9110 section 13.2.2 with S3's reading of it; each is True, False or None."""
        if match is not None:
            if not match:
                return 412
        elif unmodified is False:
            return 412
        if none_match is not None:
            if not none_match:
                return 304
        elif modified is False:
            return 304
        return 200

    def test_all_combinations_of_the_four_headers(self):
        choices = {
            "If-Match": {None: None, True: self.etag, False: '"nope"'},
            "If-None-Match": {None: None, True: '"nope"', False: self.etag},
            "If-Modified-Since": {None: None, True: PAST, False: http_date(-1)},
            "If-Unmodified-Since": {None: None, True: FUTURE, False: PAST},
        }
        # If-Modified-Since in the future is ignored by S3, so "not modified since" needs a date
        # between the PUT and now
        time.sleep(1.1)
        choices["If-Modified-Since"][False] = http_date(0)
        for values in itertools.product((None, True, False), repeat=4):
            headers = {name: choices[name][value] for name, value in zip(choices, values)
                       if value is not None}
            for method in ("GET", "HEAD"):
                with self.subTest(method=method, values=values):
                    reply = self.raw.request(method, self.path("k"), headers=headers)
                    self.assertEqual(reply.status, self.expected(*values), repr(reply))
                    if reply.status == 304:
                        self.assertEqual(reply.body, b"")
                        self.assertEqual(reply.headers.get("etag"), self.etag)

    def test_forms_of_etags(self):
        bare = self.etag.strip('"')
        for name, value, status in (
                ("If-Match", bare, 200), ("If-Match", "*", 200),
                ("If-Match", f'"x", {self.etag}', 200), ("If-Match", '"x", "y"', 412),
                ("If-None-Match", bare, 304), ("If-None-Match", "*", 304),
                ("If-None-Match", f'"x",{self.etag}', 304), ("If-None-Match", '"x"', 200)):
            with self.subTest(name=name, value=value):
                reply = self.raw.request("GET", self.path("k"), headers={name: value})
                self.assertEqual(reply.status, status, repr(reply))

    def test_dates_that_are_none_are_ignored(self):
        for name in ("If-Modified-Since", "If-Unmodified-Since"):
            for value in ("yesterday", "0", ""):
                reply = self.raw.request("GET", self.path("k"), headers={name: value})
                self.assertEqual(reply.status, 200, (name, value))

    def test_conditions_on_a_missing_key_are_404(self):
        for name, value in (("If-Match", self.etag), ("If-None-Match", "*")):
            self.assert_reply(self.raw.request("GET", self.path("none"), headers={name: value}),
                              404, "NoSuchKey")

    def test_a_failed_condition_wins_over_an_unsatisfiable_range(self):
        reply = self.raw.request("GET", self.path("k"), headers={
            "If-Match": '"x"', "Range": "bytes=100-"})
        self.assert_reply(reply, 412, "PreconditionFailed")

    def test_if_range_sends_a_range_only_of_the_object_the_client_has(self):
        for value, status in ((self.etag, 206), ('"other"', 200)):
            reply = self.raw.request("GET", self.path("k"), headers={
                "If-Range": value, "Range": "bytes=0-1"})
            self.assertEqual(reply.status, status, repr(reply))


class Writes(S3Case):
    def put_if(self, key, body, **headers):
        """headers: if_match, if_none_match"""
        return self.raw.request("PUT", self.path(key), body=body, headers={
            name.replace("_", "-"): value for name, value in headers.items()})

    def test_if_none_match_star_creates_once(self):
        self.assert_reply(self.put_if("once", b"1", if_none_match="*"), 200)
        self.assert_reply(self.put_if("once", b"2", if_none_match="*"), 412, "PreconditionFailed")
        self.assertEqual(self.body("once"), b"1")
        self.s3.delete_object(Bucket=self.bucket, Key="once")
        self.assert_reply(self.put_if("once", b"3", if_none_match="*"), 200)

    def test_if_match_replaces_only_what_was_seen(self):
        etag = self.put("cas", b"1")["ETag"]
        reply = self.put_if("cas", b"2", if_match=etag)
        self.assert_reply(reply, 200)
        self.assert_reply(self.put_if("cas", b"3", if_match=etag), 412, "PreconditionFailed")
        bare = reply.headers["etag"].strip('"')
        self.assert_reply(self.put_if("cas", b"4", if_match=bare), 200)
        self.assertEqual(self.body("cas"), b"4")

    def test_if_match_on_a_missing_key_is_no_such_key(self):
        self.assert_reply(self.put_if("none", b"x", if_match=quoted_md5(b"")), 404, "NoSuchKey")
        self.assert_absent("none")

    def test_conditions_that_mean_nothing_on_a_write_are_not_ignored(self):
        for headers in ({"if_none_match": '"abc"'}, {"if_match": "*", "if_none_match": "*"}):
            with self.subTest(headers=headers):
                reply = self.put_if("odd", b"x", **headers)
                self.assertIn((reply.status, reply.code), (
                    (501, "NotImplemented"), (400, "InvalidRequest"),
                    (400, "InvalidArgument")), repr(reply))
                self.assert_absent("odd")

    def test_a_condition_that_fails_by_headers_costs_no_body(self):
        self.put("exists", b"1")
        head, _ = self.raw.build("PUT", self.path("exists"), length=1 << 20,
                                 payload=sigv4.UNSIGNED, headers={
                                     "If-None-Match": "*", "Expect": "100-continue"})
        reply = raw.exchange(self.server, head, "PUT", timeout=30)
        # either refused at once, or 100 and then a wait for the body: never stored
        if reply is not None:
            self.assert_reply(reply, 412, "PreconditionFailed")
        self.assertEqual(self.body("exists"), b"1")

    def test_exactly_one_of_many_creators_wins(self):
        def create(index):
            reply = self.put_if("race", b"%d" % index, if_none_match="*")
            self.assertIn(reply.status, (200, 409, 412))
            return index if reply.status == 200 else None
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            results = list(pool.map(create, range(32)))
        winners = [index for index in results if index is not None]
        self.assertEqual(len(winners), 1)
        self.assertEqual(self.body("race"), b"%d" % winners[0])

    def test_a_counter_by_if_match_loses_no_increment(self):
        client = boto_client(self.server)
        self.put("counter", b"0")

        def increment(_):
            done = 0
            while done < 5:
                got = client.get_object(Bucket=self.bucket, Key="counter")
                value = int(got["Body"].read())
                reply = self.put_if("counter", b"%d" % (value + 1), if_match=got["ETag"])
                self.assertIn(reply.status, (200, 409, 412))
                done += reply.status == 200
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(increment, range(6)))
        self.assertEqual(self.body("counter"), b"30")

    def complete_if(self, key, body, **headers):
        upload_id = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        part = self.s3.upload_part(Bucket=self.bucket, Key=key, UploadId=upload_id, PartNumber=1,
                                   Body=body)
        xml = ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
               f"<ETag>{part['ETag']}</ETag></Part></CompleteMultipartUpload>").encode()
        reply = self.raw.request("POST", self.path(key), [("uploadId", upload_id)], body=xml,
                                 headers={name.replace("_", "-"): value
                                          for name, value in headers.items()})
        if reply.status == 200 and reply.code:  # a late error comes inside a 200
            reply.status = {"PreconditionFailed": 412, "NoSuchKey": 404}.get(reply.code, 200)
        return reply

    def test_a_complete_with_conditions(self):
        first = self.complete_if("mp", b"1", if_none_match="*")
        self.assert_reply(first, 200, "")
        self.assert_reply(self.complete_if("mp", b"2", if_none_match="*"), 412,
                          "PreconditionFailed")
        self.assert_reply(self.complete_if("mp", b"2", if_match='"x"'), 412, "PreconditionFailed")
        self.assertEqual(self.body("mp"), b"1")
        etag = first.xml().findtext("ETag")
        self.assert_reply(self.complete_if("mp", b"3", if_match=etag), 200, "")
        self.assertEqual(self.body("mp"), b"3")
        self.assert_reply(self.complete_if("mp-none", b"x", if_match='"x"'), 404, "NoSuchKey")


class Deletes(S3Case):
    def delete(self, key, headers):
        return self.raw.request("DELETE", self.path(key), headers=headers)

    def test_delete_with_if_match(self):
        self.put("d", b"1")
        self.assert_reply(self.delete("d", {"If-Match": '"x"'}), 412, "PreconditionFailed")
        self.assertEqual(self.body("d"), b"1")
        self.assert_reply(self.delete("d", {"If-Match": quoted_md5(b"1")}), 204)
        self.assert_absent("d")

    def test_delete_with_if_match_star_needs_an_object(self):
        self.put("d", b"1")
        self.assert_reply(self.delete("d", {"If-Match": "*"}), 204)
        reply = self.delete("d", {"If-Match": "*"})
        self.assertIn((reply.status, reply.code), ((404, "NoSuchKey"), (412, "PreconditionFailed")))

    def test_delete_with_if_match_on_a_missing_key(self):
        reply = self.delete("none", {"If-Match": '"x"'})
        self.assertIn((reply.status, reply.code), ((404, "NoSuchKey"), (412, "PreconditionFailed")))

    def test_delete_objects_with_etags(self):
        self.put("a", b"1")
        self.put("b", b"2")
        body = ("<Delete>"
                f"<Object><Key>a</Key><ETag>{quoted_md5(b'1')}</ETag></Object>"
                f"<Object><Key>b</Key><ETag>{quoted_md5(b'wrong')}</ETag></Object>"
                "</Delete>").encode()
        reply = self.raw.request("POST", self.path(), "delete", body=body, headers={
            "Content-MD5": sigv4.content_md5(body)})
        self.assert_reply(reply, 200)
        xml = reply.xml()
        self.assertEqual([node.findtext("Key") for node in xml.findall("Deleted")], ["a"])
        self.assertEqual([(node.findtext("Key"), node.findtext("Code"))
                          for node in xml.findall("Error")], [("b", "PreconditionFailed")])
        self.assert_absent("a")
        self.assertEqual(self.body("b"), b"2")
