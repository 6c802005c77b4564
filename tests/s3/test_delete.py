"""DeleteObjects."""
from harness import sigv4
from harness.case import S3Case


class DeleteObjects(S3Case):
    def delete(self, body, md5=True, headers=()):
        body = body if isinstance(body, bytes) else body.encode()
        headers = dict(headers)
        if md5:
            headers["Content-MD5"] = sigv4.content_md5(body)
        return self.raw.request("POST", self.path(), "delete", headers, body)

    @staticmethod
    def xml(keys, quiet=None):
        inside = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        flag = "" if quiet is None else f"<Quiet>{quiet}</Quiet>"
        return ('<?xml version="1.0" encoding="UTF-8"?>'
                f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{flag}{inside}</Delete>')

    def test_verbose_lists_what_was_there_and_what_was_not(self):
        self.put("a")
        reply = self.delete(self.xml(["a", "none"]))
        self.assert_reply(reply, 200)
        xml = reply.xml()
        self.assertEqual(xml.tag, "DeleteResult")
        self.assertEqual([node.findtext("Key") for node in xml.findall("Deleted")], ["a", "none"])
        self.assert_absent("a")

    def test_quiet_lists_nothing(self):
        for quiet in ("true", "false"):
            self.put("q")
            xml = self.delete(self.xml(["q"], quiet)).xml()
            self.assertEqual(len(xml.findall("Deleted")), 0 if quiet == "true" else 1)
            self.assert_absent("q")

    def test_a_thousand_keys_pass_and_1001_do_not(self):
        self.put("k1000")
        reply = self.delete(self.xml([f"k{n}" for n in range(1, 1002)]))
        self.assert_reply(reply, 400, "MalformedXML")
        self.assertTrue(self.exists("k1000"))
        reply = self.delete(self.xml([f"k{n}" for n in range(1, 1001)]))
        self.assert_reply(reply, 200)
        self.assertEqual(len(reply.xml().findall("Deleted")), 1000)
        self.assert_absent("k1000")

    def test_keys_that_need_escaping(self):
        for key, escaped in (("a&b<c>", "a&amp;b&lt;c&gt;"), ("é", "&#233;"), ("x y", "x y"),
                             (" lead", " lead"), ("new\nline", "new&#10;line")):
            self.put(key)
            with self.subTest(key=key):
                self.assert_reply(self.delete(self.xml([escaped])), 200)
                self.assert_absent(key)

    def test_the_same_key_twice_is_no_error(self):
        self.put("dup")
        self.assert_reply(self.delete(self.xml(["dup", "dup"])), 200)
        self.assert_absent("dup")

    def test_wrong_bodies(self):
        self.put("kept")
        for body in ("", "x", "<Delete>", "<Other/>", "<Delete></Delete>",
                     "<Delete><Object></Object></Delete>",
                     "<Delete><Object><Key></Key></Object></Delete>",
                     "<Delete><Object><Key>kept</Key></Object>"):
            with self.subTest(body=body):
                reply = self.delete(body)
                self.assertEqual(reply.status, 400, repr(reply))
                self.assertIn(reply.code, ("MalformedXML", "MissingRequestBodyError",
                                           "UserKeyMustBeSpecified"))
        self.assertTrue(self.exists("kept"))

    def test_integrity_headers(self):
        self.put("i")
        body = self.xml(["i"])
        self.assert_reply(self.delete(body, headers={
            "Content-MD5": sigv4.content_md5(b"?")}, md5=False), 400, "BadDigest")
        self.assert_reply(self.delete(body, md5=False, headers={
            "x-amz-checksum-crc32": sigv4.checksum("CRC32", b"?")}), 400, "BadDigest")
        self.assertTrue(self.exists("i"))
        # new SDKs send a checksum and no Content-MD5
        self.assert_reply(self.delete(body, md5=False, headers={
            "x-amz-checksum-crc32": sigv4.checksum("CRC32", body.encode())}), 200)
        self.assert_absent("i")

    def test_without_any_integrity_header_it_is_refused(self):
        self.put("n")
        reply = self.delete(self.xml(["n"]), md5=False)
        self.assert_reply(reply, 400, "InvalidRequest")
        self.assertTrue(self.exists("n"))

    def test_the_null_version(self):
        self.put("v")
        body = "<Delete><Object><Key>v</Key><VersionId>null</VersionId></Object></Delete>"
        self.assert_reply(self.delete(body), 200)
        self.assert_absent("v")
