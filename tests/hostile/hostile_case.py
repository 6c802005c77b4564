"""Base class: after each test the server lives, and what was attacked is unchanged."""
from harness import raw, sigv4
from harness.case import S3Case

VICTIM = b"victim's bytes"


class HostileCase(S3Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s3.put_object(Bucket=cls.bucket, Key="victim", Body=VICTIM)
        cls.stranger = raw.Raw(cls.server, sigv4.Signer(cls.server.access_key, "wrong secret"))
        cls.unknown = raw.Raw(cls.server, sigv4.Signer("AKUNKNOWN0000000000", "wrong secret"))

    def tearDown(self):
        super().tearDown()
        reply = self.raw.request("GET", self.path())
        self.assert_reply(reply, 200)
        keys = [node.text for node in reply.xml().iter("Key")]
        self.assertEqual(keys, ["victim"], "something was stored, or the victim is gone")
        self.assertEqual(self.body("victim"), VICTIM)
        uploads = self.raw.request("GET", self.path(), "uploads")
        self.assertNotIn(b"<UploadId>", uploads.body)

    def assert_one_of(self, reply, *allowed):
        """allowed: (status, code) pairs."""
        self.assertIsNotNone(reply, "closed without a reply")
        self.assertIn((reply.status, reply.code), allowed, repr(reply))
