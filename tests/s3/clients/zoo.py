"""The clients: each as make, put, get, list, delete, unmake on one server, by its default settings.

Only what a person must say is said: the end point, the keys, the region and, for https, the
authority of the self-signed certificate.
"""
import os
import shutil
import subprocess

from harness import raw, sigv4
from harness.server import TOP

VENV = os.path.join(TOP, ".venv", "bin")
NODE = os.path.join(TOP, "tests", "s3", "node")
COMMAND_LIMIT_S = 280


class ClientFailed(Exception):
    pass


class Client:
    """Owned by one test."""

    name = ""
    program = ""

    def __init__(self, server, home):
        self.server, self.home = server, home
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "LC_ALL": "C.UTF-8",
                    "AWS_ACCESS_KEY_ID": server.access_key,
                    "AWS_SECRET_ACCESS_KEY": server.secret_key, "AWS_REGION": "us-east-1",
                    "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        if server.tls:
            self.env.update(AWS_CA_BUNDLE=server.cert, NODE_EXTRA_CA_CERTS=server.cert)

    @classmethod
    def missing(cls):
        """Why it cannot run here; None when it can."""
        return None if shutil.which(cls.program) else f"{cls.program} is not installed"

    def run(self, *command):
        """Standard output; standard error is in self.log."""
        done = subprocess.run(command, env=self.env, cwd=self.home, capture_output=True, text=True,
                              timeout=COMMAND_LIMIT_S, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise ClientFailed(f"{' '.join(command)}\nended with {done.returncode}\n"
                               f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        self.log = done.stderr
        return done.stdout


class DebianAws(Client):
    name, program = "debian-aws", "/usr/bin/aws"

    def s3(self, *arguments):
        return self.run(self.program, "--endpoint-url", self.server.endpoint, "s3", *arguments)

    def make(self, bucket):
        self.s3("mb", f"s3://{bucket}")

    def put(self, bucket, key, path):
        self.s3("cp", "--no-progress", path, f"s3://{bucket}/{key}")

    def get(self, bucket, key, path):
        self.s3("cp", "--no-progress", f"s3://{bucket}/{key}", path)

    def list(self, bucket):
        return [line.split(maxsplit=3)[3] for line in
                self.s3("ls", "--recursive", f"s3://{bucket}").splitlines() if line]

    def delete(self, bucket, keys):
        for key in keys:
            self.s3("rm", f"s3://{bucket}/{key}")

    def unmake(self, bucket):
        self.s3("rb", f"s3://{bucket}")

    def sync(self, source, target):
        return self.s3("sync", "--no-progress", source, target)

    def tree_target(self, bucket):
        return f"s3://{bucket}"


class CurrentAws(DebianAws):
    name, program = "current-aws", os.path.join(VENV, "aws")


class DebianBoto3(Client):
    name, program = "debian-boto3", "/usr/bin/python3"
    script = os.path.join(TOP, "tests", "s3", "clients", "boto_copy.py")

    def verb(self, *arguments):
        return self.run(self.program, self.script, self.server.endpoint, *arguments)

    def make(self, bucket):
        self.verb("make", bucket)

    def put(self, bucket, key, path):
        self.verb("put", bucket, key, path)

    def get(self, bucket, key, path):
        self.verb("get", bucket, key, path)

    def list(self, bucket):
        return self.verb("list", bucket).splitlines()

    def delete(self, bucket, keys):
        self.verb("delete", bucket, *keys)

    def unmake(self, bucket):
        self.verb("unmake", bucket)


class CurrentBoto3(DebianBoto3):
    name, program = "current-boto3", os.path.join(VENV, "python")


class NodeSdk(DebianBoto3):
    name, program = "aws-sdk-js", "node"
    script = os.path.join(NODE, "copy.mjs")

    @classmethod
    def missing(cls):
        if not shutil.which("node"):
            return "node is not installed"
        version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        if int(version.stdout.strip("v\n").split(".")[0]) < 20:
            return f"node {version.stdout.strip()} is older than @aws-sdk/client-s3 takes"
        if not os.path.isdir(os.path.join(NODE, "node_modules", "@aws-sdk", "client-s3")):
            return "@aws-sdk/client-s3 is not installed"
        return None


class S3cmd(Client):
    name, program = "s3cmd", "s3cmd"

    def __init__(self, server, home):
        super().__init__(server, home)
        self.config = os.path.join(home, "s3cfg")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"[default]\naccess_key = {server.access_key}\n"
                       f"secret_key = {server.secret_key}\nhost_base = {server.host}\n"
                       f"host_bucket = {server.host}\nuse_https = {server.tls}\n")
            if server.tls:
                file.write(f"ca_certs_file = {server.cert}\n")

    def cmd(self, *arguments):
        return self.run(self.program, "-c", self.config, "--no-progress", *arguments)

    def make(self, bucket):
        self.cmd("mb", f"s3://{bucket}")

    def put(self, bucket, key, path):
        self.cmd("put", path, f"s3://{bucket}/{key}")

    def get(self, bucket, key, path):
        self.cmd("get", "--force", f"s3://{bucket}/{key}", path)

    def list(self, bucket):
        prefix = f"s3://{bucket}/"
        return [line.split(prefix, 1)[1] for line in
                self.cmd("ls", "--recursive", prefix).splitlines() if prefix in line]

    def delete(self, bucket, keys):
        self.cmd("del", *[f"s3://{bucket}/{key}" for key in keys])

    def unmake(self, bucket):
        self.cmd("rb", f"s3://{bucket}")

    def sync(self, source, target):
        return self.cmd("sync", source.rstrip("/") + "/", target.rstrip("/") + "/")

    def tree_target(self, bucket):
        return f"s3://{bucket}"


class Rclone(Client):
    name, program = "rclone", "rclone"

    def __init__(self, server, home):
        super().__init__(server, home)
        self.env.update(RCLONE_CONFIG_G_TYPE="s3", RCLONE_CONFIG_G_PROVIDER="Other",
                        RCLONE_CONFIG_G_ACCESS_KEY_ID=server.access_key,
                        RCLONE_CONFIG_G_SECRET_ACCESS_KEY=server.secret_key,
                        RCLONE_CONFIG_G_ENDPOINT=server.endpoint)
        if server.tls:
            self.env["RCLONE_CA_CERT"] = server.cert
            del self.env["AWS_CA_BUNDLE"]  # 1.60 cannot be given both

    def cmd(self, *arguments):
        return self.run(self.program, *arguments)

    def make(self, bucket):
        self.cmd("mkdir", f"G:{bucket}")

    def put(self, bucket, key, path):
        self.cmd("copyto", path, f"G:{bucket}/{key}")

    def get(self, bucket, key, path):
        self.cmd("copyto", f"G:{bucket}/{key}", path)

    def list(self, bucket):
        return self.cmd("lsf", "-R", "--files-only", f"G:{bucket}").splitlines()

    def delete(self, bucket, keys):
        for key in keys:
            self.cmd("deletefile", f"G:{bucket}/{key}")

    def unmake(self, bucket):
        self.cmd("rmdir", f"G:{bucket}")

    def sync(self, source, target):
        self.cmd("sync", "-v", source, target)
        return "".join(line for line in self.log.splitlines(True)
                       if ": Copied" in line or ": Deleted" in line)

    def tree_target(self, bucket):
        return f"G:{bucket}"


class CurlSigned(Client):
    """curl --aws-sigv4; S3 wants x-amz-content-sha256, which 7.88 does not send of itself."""

    name, program = "curl-sigv4", "curl"

    def request(self, method, path, *options):
        if self.server.tls:
            options += ("--cacert", self.server.cert)
        return self.run(self.program, "-gsSf", "-X", method, "--aws-sigv4", "aws:amz:us-east-1:s3",
                        "-H", f"x-amz-content-sha256: {sigv4.UNSIGNED}",
                        "--user", f"{self.server.access_key}:{self.server.secret_key}",
                        *options, self.server.endpoint + path)

    def make(self, bucket):
        self.request("PUT", f"/{bucket}")

    def put(self, bucket, key, path):
        self.request("PUT", f"/{bucket}/{key}", "-T", path)

    def get(self, bucket, key, path):
        self.request("GET", f"/{bucket}/{key}", "-o", path)

    def list(self, bucket):
        text = self.request("GET", f"/{bucket}")
        return [node.text for node in raw.Reply(200, [], text.encode(), False).xml().iter("Key")]

    def delete(self, bucket, keys):
        for key in keys:
            self.request("DELETE", f"/{bucket}/{key}")

    def unmake(self, bucket):
        self.request("DELETE", f"/{bucket}")


class CurlPresigned(CurlSigned):
    """curl with presigned URLs."""

    name = "curl-presigned"

    def request(self, method, path, *options):
        signer = sigv4.Signer(self.server.access_key, self.server.secret_key)
        query = signer.presign(method, path, "", [("Host", self.server.host)])
        if self.server.tls:
            options += ("--cacert", self.server.cert)
        return self.run(self.program, "-sSf", "-X", method, *options,
                        f"{self.server.endpoint}{path}?{query}")

    def put(self, bucket, key, path):
        self.request("PUT", f"/{bucket}/{key}", "-T", path)


ALL = (DebianAws, CurrentAws, DebianBoto3, CurrentBoto3, NodeSdk, S3cmd, Rclone, CurlSigned,
       CurlPresigned)
