"""Base class of the black-box tests: one server for all of them, one bucket per class."""
import secrets
import unittest
import warnings

import boto3
import botocore.config
import botocore.exceptions

from harness import raw, sigv4
from harness.server import Server

_shared = {}


def shared_server(tls=False):
    """The run's server, started when first asked for."""
    if tls not in _shared:
        _shared[tls] = Server(tls=tls).start()
    return _shared[tls]


def close_shared():
    errors = []
    for server in _shared.values():
        try:
            server.close()
        except Exception as error:  # close the others first
            errors.append(error)
    _shared.clear()
    if errors:
        raise errors[0]


def boto_client(server, **config):
    warnings.simplefilter("ignore")
    settings = dict(s3={"addressing_style": "path"}, retries={"max_attempts": 1},
                    connect_timeout=20, read_timeout=120, max_pool_connections=32)
    settings.update(config)
    return boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1",
                        aws_access_key_id=server.access_key,
                        aws_secret_access_key=server.secret_key,
                        verify=server.cert if server.tls else None,
                        config=botocore.config.Config(**settings))


class S3Case(unittest.TestCase):
    """self.s3: boto3 client; self.raw: raw signed requests; self.bucket: this class's bucket."""

    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.server = shared_server()
        cls.s3 = boto_client(cls.server)
        cls.raw = raw.Raw(cls.server)
        cls.bucket = cls.new_bucket()

    def tearDown(self):
        self.server.check_alive()

    @classmethod
    def new_bucket(cls):
        bucket = "t-" + secrets.token_hex(8)
        cls.s3.create_bucket(Bucket=bucket)
        return bucket

    def path(self, key=None, bucket=None):
        """Raw path of a key, encoded as SigV4 wants it."""
        path = "/" + (bucket or self.bucket)
        return path if key is None else path + "/" + sigv4.quote(key, safe="/")

    def put(self, key, body=b"x", **options):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **options)

    def get(self, key, **options):
        return self.s3.get_object(Bucket=self.bucket, Key=key, **options)

    def body(self, key, **options):
        return self.get(key, **options)["Body"].read()

    def exists(self, key):
        return self.raw.request("HEAD", self.path(key)).status == 200

    def assert_absent(self, key, bucket=None):
        reply = self.raw.request("HEAD", self.path(key, bucket))
        self.assertEqual(reply.status, 404, f"{key!r} should not be there: {reply}")

    def assert_reply(self, reply, status, code=None):
        """code: S3 error code, where the answer has a body."""
        self.assertIsNotNone(reply, "closed without a reply")
        got = (reply.status, reply.code if code is not None else None)
        self.assertEqual(got, (status, code), repr(reply))

    def assert_client_error(self, status, code, function, *args, **kwargs):
        """The boto3 call must fail so. code may be the status as text for HEAD."""
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            function(*args, **kwargs)
        answer = caught.exception.response
        got = (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"])
        self.assertEqual(got, (status, code), str(caught.exception))
        return answer
