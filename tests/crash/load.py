"""Workers: mixed concurrent load over a small hot set of keys and many keys of their own."""
import random
import threading
import time

from harness import sigv4
from harness.lean import Gone, Lean
from history import ABSENT

BUCKET = "crash"
HOT = [f"hot/{index}" for index in range(6)] + ["hot/0/below"]
PART_MIN = 5 << 20
REFUSALS = (404, 412)  # changed nothing for sure; other errors leave it open


def path_of(key):
    return f"/{BUCKET}/" + sigv4.quote(key, safe="/")


class Uploads:
    """Open multipart uploads: id -> (key, parts acknowledged). Guarded by lock."""

    def __init__(self):
        self.lock, self.open = threading.Lock(), {}


class Worker(threading.Thread):
    """Runs until the server goes away or stop is set."""

    def __init__(self, server, history, uploads, seed, stop):
        super().__init__(name=f"worker-{seed}")
        self.lean, self.history, self.uploads = Lean(server, timeout=30), history, uploads
        self.rng, self.stop, self.seed = random.Random(seed), stop, seed
        self.own, self.count, self.errors = [], 0, []
        self.answers = {}

    def run(self):
        actions = ((self.put, 40), (self.overwrite, 15), (self.delete, 15), (self.copy, 8),
                   (self.read, 12), (self.multipart, 3), (self.delete_many, 3), (self.abandon, 1))
        names, weights = zip(*actions)
        try:
            while not self.stop.is_set():
                self.rng.choices(names, weights)[0]()
        except Gone:
            pass
        except Exception as error:  # reported by the main thread
            self.errors.append(error)
        finally:
            self.lean.close()

    def size(self):
        return self.rng.choice((16, 100, 1000, 4096, 4097, 20000, 65536, 70000, 262144, 300000,
                                2 << 20))

    def own_key(self):
        self.count += 1
        key = f"own/{self.seed % 7}/{self.seed}-{self.count}" + self.rng.choice(("", "/x", " é"))
        self.own.append(key)
        return key

    def note(self, kind, status):
        self.answers[(kind, status)] = self.answers.get((kind, status), 0) + 1

    def write(self, kind, key, values, *request, good=(200,), result=None):
        """One changing request; result(reply) tells the values it wrote."""
        record = self.history.begin(key, values)
        reply = self.lean.request(*request)
        self.note(kind, reply.status)
        late_error = reply.status == 200 and reply.code
        if reply.status in good and not late_error:
            self.history.answered(record, True, result(reply) if result else None)
        elif reply.status in REFUSALS:
            self.history.answered(record, False)
        return reply

    def put_value(self, key):
        number, body = self.history.values.new(self.size())
        self.write("put", key, [number], "PUT", path_of(key), "", (), body)

    def put(self):
        self.put_value(self.own_key())

    def overwrite(self):
        self.put_value(self.rng.choice(HOT))

    def some_key(self):
        if self.own and self.rng.random() < 0.7:
            return self.own[self.rng.randrange(len(self.own))]
        return self.rng.choice(HOT)

    def delete(self):
        key = self.some_key()
        self.write("delete", key, [ABSENT], "DELETE", path_of(key), good=(204,))

    def delete_many(self):
        keys = sorted({self.some_key() for _ in range(8)})
        records = [self.history.begin(key, [ABSENT]) for key in keys]
        body = ("<Delete><Quiet>true</Quiet>" + "".join(
            f"<Object><Key>{key}</Key></Object>" for key in keys) + "</Delete>").encode()
        reply = self.lean.request("POST", f"/{BUCKET}", "delete", [
            ("Content-MD5", sigv4.content_md5(body))], body)
        self.note("delete-many", reply.status)
        if reply.status == 200 and b"<Error>" not in reply.body:
            for record in records:
                self.history.answered(record, True)

    def copy(self):
        source, key = self.rng.choice(HOT), self.own_key()
        values = self.history.ever(source) - {ABSENT}
        # more values may come to the source while the copy runs: any value is then possible
        reply = self.write("copy", key, values | {"any of " + source}, "PUT", path_of(key), "",
                           [("x-amz-copy-source", f"/{BUCKET}/{source}")],
                           result=lambda r: [self.copied(r, source)])
        if reply.status not in (200, 404):
            self.note("copy-refused", reply.status)

    def copied(self, reply, source):
        number = self.history.values.number_of(reply.xml().findtext("ETag"))
        if number is None or number not in self.history.ever(source):
            raise AssertionError(f"a copy of {source} has a value that was never there: {reply}")
        return number

    def read(self):
        key, start = self.some_key(), time.monotonic()
        reply = self.lean.request("GET", path_of(key))
        self.note("get", reply.status)
        if reply.status not in (200, 404):
            return
        value = ABSENT
        if reply.status == 200:
            value = self.history.values.number_of(reply.headers["etag"])
            if value is None or not self.history.values.is_body(value, reply.body):
                raise AssertionError(f"GET {key} gave wrong bytes: {reply}")
        allowed = self.history.possible(key, (start, time.monotonic()))
        if value not in allowed and not any(isinstance(v, str) for v in allowed):
            raise AssertionError(f"GET {key} gave {value}, allowed {allowed}")

    def begin_upload(self, key):
        reply = self.lean.request("POST", path_of(key), "uploads")
        self.note("upload", reply.status)
        if reply.status != 200:
            return None
        upload_id = reply.xml().findtext("UploadId")
        with self.uploads.lock:
            self.uploads.open[upload_id] = (key, {})
        return upload_id

    def send_part(self, key, upload_id, number, body):
        reply = self.lean.request("PUT", path_of(key), [("partNumber", number),
                                                        ("uploadId", upload_id)], (), body)
        self.note("part", reply.status)
        if reply.status != 200:
            return None
        with self.uploads.lock:
            self.uploads.open[upload_id][1][number] = reply.headers["etag"]
        return reply.headers["etag"]

    def multipart(self):
        key = self.rng.choice((self.own_key(), self.rng.choice(HOT)))
        sizes = self.rng.choice(((100,), (PART_MIN, 77777), (300000,), (PART_MIN + 1, PART_MIN, 9)))
        number, parts = self.history.values.new(0, sizes)
        upload_id = self.begin_upload(key)
        etags = upload_id and [self.send_part(key, upload_id, index, part)
                               for index, part in enumerate(parts, 1)]
        if not etags or None in etags:
            return
        body = "<CompleteMultipartUpload>" + "".join(
            f"<Part><PartNumber>{index}</PartNumber><ETag>{etag}</ETag></Part>"
            for index, etag in enumerate(etags, 1)) + "</CompleteMultipartUpload>"
        with self.uploads.lock:  # from here on it may be gone
            del self.uploads.open[upload_id]
        self.write("complete", key, [number], "POST", path_of(key), [("uploadId", upload_id)], (),
                   body.encode())

    def abandon(self):
        """An upload that stays open, or is aborted."""
        key = self.own_key()
        upload_id = self.begin_upload(key)
        if upload_id is None:
            return
        self.send_part(key, upload_id, 3, self.rng.randbytes(50000))
        if self.rng.random() < 0.5:
            with self.uploads.lock:
                del self.uploads.open[upload_id]
            self.lean.request("DELETE", path_of(key), [("uploadId", upload_id)])
