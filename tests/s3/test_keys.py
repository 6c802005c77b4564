"""Keys: any 1,024 bytes of UTF-8, opaque, side by side."""
from harness import sigv4
from harness.case import S3Case


class Keys(S3Case):
    ODD = ["a/b", "a/b/c", "a/b/", "a", "a//b", "//", "/lead", "//lead", ".", "..", "./a", "../a",
           "a/../b", "a/./b", "a/..", "trail/", "trail//", " ", " lead", "trail ", "a+b", "a%2Fb",
           "%", "%%20", "%00", "a?b", "a#b", "a\\b", "a:b", "a;b=c", "a&b", "'\"", "<x>", "\u00e9",
           "e\u0301", "\u65e5\u672c\u8a9e", "\U0001f600", "\ufeff", "x" * 1024,
           "\u00e9" * 512, "\U0001f600" * 256, "/".join(["s" * 127] * 8), "x" * 300 + "/y"]

    def test_odd_keys_are_opaque_and_live_side_by_side(self):
        bucket = self.new_bucket()
        for key in self.ODD:
            path = f"/{bucket}/" + sigv4.quote(key)
            reply = self.raw.request("PUT", path, body=key.encode())
            with self.subTest(key=key[:40]):
                self.assert_reply(reply, 200)
        for key in self.ODD:
            with self.subTest(key=key[:40]):
                path = f"/{bucket}/" + sigv4.quote(key)
                reply = self.raw.request("GET", path)
                self.assertEqual(reply.body, key.encode())
        shown = []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            shown += [item["Key"] for item in page["Contents"]]
        self.assertEqual(sorted(shown), sorted(self.ODD))
        self.assertEqual(shown, sorted(self.ODD, key=str.encode))

    def test_slashes_encoded_or_not_name_the_same_key(self):
        self.assert_reply(self.raw.request("PUT", self.path() + "/p/q%2Fr", body=b"1"), 200)
        self.assertEqual(self.raw.request("GET", self.path() + "/p/q/r").body, b"1")

    def test_a_deleted_parent_leaves_its_children(self):
        self.put("par", b"1")
        self.put("par/child", b"2")
        self.s3.delete_object(Bucket=self.bucket, Key="par")
        self.assert_absent("par")
        self.assertEqual(self.body("par/child"), b"2")

    def test_too_long_keys_are_refused_everywhere(self):
        for key in ("x" * 1025, "\u00e9" * 512 + "x"):
            path = self.path(key)
            with self.subTest(key=key[:3]):
                self.assert_reply(self.raw.request("PUT", path, body=b"x"), 400, "KeyTooLongError")
                self.assert_reply(self.raw.request("POST", path, "uploads"), 400,
                                  "KeyTooLongError")

    def test_invalid_utf8_and_bad_escapes_are_refused(self):
        for raw in ("%ff", "a%c3", "%ed%a0%80", "%c0%af"):
            with self.subTest(raw=raw):
                reply = self.raw.request("PUT", self.path() + "/" + raw, body=b"x")
                self.assertEqual(reply.status, 400, repr(reply))
        for raw in ("%", "%zz", "a%1"):
            with self.subTest(raw=raw):
                reply = self.raw.request("PUT", self.path() + "/" + raw, body=b"x")
                self.assertEqual(reply.status, 400, repr(reply))
                self.assertIn(reply.code, ("InvalidURI", "InvalidArgument"))
