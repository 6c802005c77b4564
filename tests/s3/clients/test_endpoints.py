"""Where and how the server is reached: https with every form of body, a certificate renewed while
it runs, IPv6, buckets as host names."""
import os
import shutil
import signal
import socket
import ssl
import time
import unittest
from unittest import mock

import boto3
import botocore.config
import botocore.exceptions

import zoo
from harness import raw, sigv4
from harness.case import boto_client
from harness.server import Server

BODY = os.urandom(300000)
PIECES = [BODY[:65536], BODY[65536:65536 + 8192], BODY[65536 + 8192:]]
CHECKSUMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


class ChunkedForms(unittest.TestCase):
    """Each aws-chunked form, with Content-Length and with chunks of HTTP."""

    def check(self, tls):
        server = Server(tls=tls).start()
        self.addCleanup(server.close)
        client = raw.Raw(server)
        self.assertEqual(client.request("PUT", "/forms").status, 200)
        forms = [(sigv4.CHUNKS, None)]
        for payload in (sigv4.UNSIGNED_TRAILER, sigv4.CHUNKS_TRAILER):
            forms += [(payload, (f"x-amz-checksum-{algorithm.lower()}",
                                 sigv4.checksum(algorithm, BODY))) for algorithm in CHECKSUMS]
        for payload, trailer in forms:
            for transfer in (False, True):
                with self.subTest(payload=payload, trailer=trailer, transfer=transfer):
                    reply = client.chunked_put("/forms/k", PIECES, payload=payload,
                                               trailer=trailer, transfer=transfer)
                    self.assertEqual(reply.status, 200, repr(reply))
                    if trailer:
                        self.assertEqual(reply.headers.get(trailer[0]), trailer[1])
                    found = client.request("GET", "/forms/k")
                    self.assertEqual((found.status, found.body == BODY), (200, True))
                    self.assertNotIn("aws-chunked", found.headers.get("content-encoding", ""))
                    self.assertEqual(client.request("DELETE", "/forms/k").status, 204)

    def test_over_http(self):
        self.check(False)

    def test_over_https(self):
        self.check(True)


class Certificate(unittest.TestCase):
    def setUp(self):
        self.server = Server(tls=True).start()
        self.addCleanup(self.server.close)

    def shown(self):
        """The certificate that a new connection is shown."""
        return ssl.get_server_certificate(("127.0.0.1", self.server.port))

    def await_log(self, text):
        until = time.monotonic() + 20
        while text not in self.server.log():
            self.assertLess(time.monotonic(), until, f"{text!r} is not in the log")
            time.sleep(0.02)

    def reload(self, text):
        self.server.process.send_signal(signal.SIGHUP)
        self.await_log(text)

    def test_a_renewed_one_is_shown_after_sighup_and_open_connections_stay(self):
        before, old_file = self.shown(), self.server.cert
        held = self.server.connect()
        self.addCleanup(held.close)
        self.server.make_certificate()
        self.assertEqual(self.shown(), before, "read only when told")
        self.reload("certificate read again")
        after = self.shown()
        self.assertNotEqual(after, before)
        self.assertEqual(old_file, self.server.cert)
        with open(self.server.cert, encoding="ascii") as file:
            self.assertEqual(after.strip(), file.read().strip())
        head, _ = raw.Raw(self.server).build("GET", "/")
        held.sendall(head)
        self.assertEqual(raw.read_reply(held).status, 200)
        self.assertEqual(raw.Raw(self.server).request("GET", "/").status, 200)

    def test_a_broken_one_is_not_taken(self):
        before = self.shown()
        with open(self.server.cert, "w", encoding="ascii") as file:
            file.write("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
        self.reload("certificate not read")
        self.assertEqual(self.shown(), before)

    def test_what_is_not_tls_is_closed_and_harms_nobody(self):
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", b"\x00" * 1000):
            with socket.create_connection(("127.0.0.1", self.server.port), 10) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                self.assertNotIn(b"HTTP/1.1 200", raw.read_all(sock))
        self.assertEqual(raw.Raw(self.server).request("GET", "/").status, 200)

    def test_versions_before_1_2_are_refused(self):
        context = ssl.create_default_context(cafile=self.server.cert)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", self.server.port), 10) as sock:
            with self.assertRaises(OSError):
                context.wrap_socket(sock, server_hostname="127.0.0.1")


class Ipv6(unittest.TestCase):
    def setUp(self):
        try:
            with socket.socket(socket.AF_INET6) as sock:
                sock.bind(("::1", 0))
        except OSError as error:
            self.skipTest(f"no IPv6: {error}")

    def test_clients_reach_the_loopback_address(self):
        server = Server(args=["--listen", "[::1]:0"]).start()
        self.addCleanup(server.close)
        port = server.other_ports("[::1]")[0]
        four = boto_client(server)
        with mock.patch.object(Server, "host", f"[::1]:{port}"):
            six = boto_client(server)
            six.create_bucket(Bucket="six")
            six.put_object(Bucket="six", Key="k", Body=BODY)
            curl = zoo.CurlSigned(server, server.home)
            if not curl.missing():
                copy = os.path.join(server.home, "copy")
                curl.get("six", "k", copy)
                with open(copy, "rb") as file:
                    self.assertEqual(file.read(), BODY)
            rclone = zoo.Rclone(server, server.home)
            if not rclone.missing():
                self.assertEqual(rclone.list("six"), ["k"])
        self.assertEqual(four.get_object(Bucket="six", Key="k")["Body"].read(), BODY)


class HostNames(unittest.TestCase):
    """Buckets as host names below --domain; names resolve to the loopback address here only."""

    DOMAIN = "s3.goodfs.test"

    def setUp(self):
        self.server = Server(args=["--domain", self.DOMAIN]).start()
        self.addCleanup(self.server.close)
        real = socket.getaddrinfo

        def resolve(host, *arguments, **options):
            if host.endswith(self.DOMAIN):
                host = "127.0.0.1"
            return real(host, *arguments, **options)
        patch = mock.patch("socket.getaddrinfo", resolve)
        patch.start()
        self.addCleanup(patch.stop)
        config = botocore.config.Config(s3={"addressing_style": "virtual"},
                                        signature_version="s3v4")  # of presigned URLs too
        self.s3 = boto3.client("s3", endpoint_url=f"http://{self.DOMAIN}:{self.server.port}",
                               region_name="us-east-1", aws_access_key_id=self.server.access_key,
                               aws_secret_access_key=self.server.secret_key, config=config)

    def test_boto3_by_host_name_and_by_path_sees_the_same(self):
        path = boto_client(self.server)
        self.s3.create_bucket(Bucket="by-name")
        for key in ("k", "by-name/k", "a b/ü+%20", "/lead", "a//b", "trail/"):
            self.s3.put_object(Bucket="by-name", Key=key, Body=key.encode())
            self.assertEqual(path.get_object(Bucket="by-name", Key=key)["Body"].read(),
                             key.encode())
        listed = [item["Key"] for item in path.list_objects_v2(Bucket="by-name")["Contents"]]
        self.assertEqual([item["Key"] for item in
                          self.s3.list_objects_v2(Bucket="by-name")["Contents"]], listed)
        self.assertEqual(len(listed), 6)
        upload = self.s3.create_multipart_upload(Bucket="by-name", Key="parts")
        names = dict(Bucket="by-name", Key="parts", UploadId=upload["UploadId"])
        part = self.s3.upload_part(PartNumber=1, Body=BODY, **names)
        self.s3.complete_multipart_upload(MultipartUpload={"Parts": [
            {"PartNumber": 1, "ETag": part["ETag"]}]}, **names)
        self.s3.copy_object(Bucket="by-name", Key="copy", CopySource="by-name/parts")
        self.assertEqual(path.get_object(Bucket="by-name", Key="copy")["Body"].read(), BODY)
        self.assertIn("by-name", [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]])
        url = self.s3.generate_presigned_url("get_object", Params=dict(Bucket="by-name", Key="k"))
        self.assertIn(f"by-name.{self.DOMAIN}", url)
        target = url.partition(str(self.server.port))[2]
        head = raw.head_bytes("GET", target, [
            ("Host", f"by-name.{self.DOMAIN}:{self.server.port}")])
        self.assertEqual(raw.exchange(self.server, head).body, b"k")

    def test_a_name_that_is_no_bucket_or_another_host_names_none(self):
        client = raw.Raw(self.server)
        self.assertEqual(client.request("PUT", "/real").status, 200)
        for host, path, code in ((f"none.{self.DOMAIN}", "/k", "NoSuchBucket"),
                                 (f"UPPER_.{self.DOMAIN}", "/k", None),
                                 (f"..{self.DOMAIN}", "/k", None),
                                 ("real.elsewhere.test", "/k", "NoSuchBucket")):
            with self.subTest(host=host):
                reply = client.request("GET", path, host=host)
                self.assertIn(reply.status, (400, 404), repr(reply))
                if code:
                    self.assertEqual(reply.code, code)
        with self.assertRaises(botocore.exceptions.ClientError):
            self.s3.get_object(Bucket="real", Key="none")

    def test_curl_with_a_bucket_as_host(self):
        if not shutil.which("curl"):
            self.skipTest("curl is not installed")
        client = zoo.CurlSigned(self.server, self.server.home)
        host = f"curled.{self.DOMAIN}:{self.server.port}"
        with mock.patch.object(Server, "host", host):
            connect = ("--connect-to", f"{host}:127.0.0.1:{self.server.port}")
            client.request("PUT", "/", *connect)
            client.request("PUT", "/k", "-d", "hello", *connect)
            self.assertEqual(client.request("GET", "/k", *connect), "hello")
        self.assertEqual(raw.Raw(self.server).request("GET", "/curled/k").body, b"hello")
