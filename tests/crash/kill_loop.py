"""kill -9 in a loop under mixed concurrent load: every 200 is there and intact, everything else is
absent or whole, listings agree with reads, and space comes back.

usage: kill_loop.py [KILLS [SEED]]     GOODFS_BIN chooses the program.
"""
import collections
import os
import random
import sys
import threading
import time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness.lean import Gone, Lean  # noqa: E402
from harness.server import Server, ServerDied  # noqa: E402
from history import ABSENT, History, Values  # noqa: E402
from load import BUCKET, HOT, Uploads, Worker, path_of  # noqa: E402

WORKERS = 8
OLD_KEYS_READ = 100      # keys from before the epoch whose bytes are read again in each audit
KEPT_KEYS_MAX = 3000     # above it an audit thins out the keys
SPACE_BACK_S = 90
SPACE_LEFT_BYTES = 96 << 20


class Loop:
    def __init__(self, seed):
        self.seed, self.rng = seed, random.Random(seed)
        self.server = Server(env={"GOODFS_GC_GRACE_SECONDS": "1"})
        self.history, self.uploads = History(Values(seed)), Uploads()
        self.answers = collections.Counter()
        self.audited = self.kills = self.starts_killed = 0
        self.restart_s, self.largest = [], 0

    # ---- load ----
    def load_and_kill(self):
        stop = threading.Event()
        workers = [Worker(self.server, self.history, self.uploads,
                          self.seed * 1000000 + self.kills * 100 + index, stop)
                   for index in range(WORKERS)]
        for worker in workers:
            worker.start()
        time.sleep(self.rng.uniform(0.1, 1.6))
        self.server.check_alive()
        self.server.kill()
        stop.set()
        self.kills += 1
        for worker in workers:
            worker.join()
            self.answers.update(worker.answers)
        for worker in workers:
            if worker.errors:
                raise worker.errors[0]

    def start(self):
        """Sometimes a start is killed too, at any point of its recovery."""
        while self.kills and self.rng.random() < 0.2:
            threading.Timer(self.rng.uniform(0.001, 0.15), self.kill_starting).start()
            try:
                self.server.start()
            except ServerDied as error:
                if "ended with -9" not in str(error):
                    raise
            time.sleep(0.2)  # past the timer
            self.server.kill()
            self.starts_killed += 1
        begun = time.monotonic()
        self.server.start()
        self.restart_s.append(time.monotonic() - begun)

    def kill_starting(self):
        process = self.server.process
        if process is not None:
            process.kill()

    # ---- audit ----
    def audit(self):
        lean = Lean(self.server)
        listed = lean.list_all(BUCKET)
        found = {key: self.identify(key, *shown) for key, shown in listed.items()}
        with self.history.lock:
            names = set(self.history.keys)
        for key in names | set(found):
            self.check_key(key, found.get(key, ABSENT))
        touched = self.history.settle(found)
        old = [key for key in found if key not in set(touched)]
        for key in touched + self.rng.sample(old, min(len(old), OLD_KEYS_READ)):
            self.check_bytes(lean, key, found.get(key, ABSENT))
        self.audited += len(names | set(found))
        self.check_uploads(lean)
        self.thin_out(lean, found)
        self.largest = max(self.largest, self.server.disk_bytes())
        lean.close()

    def identify(self, key, etag, size):
        number = self.history.values.number_of(etag)
        if number is None or self.history.values.known[number][1] != size:
            raise AssertionError(f"{key} is listed with {etag}, {size} bytes: never written")
        return number

    def check_key(self, key, value):
        allowed = self.history.possible(key)
        if value in allowed:
            return
        sources = [mark[len("any of "):] for mark in allowed if isinstance(mark, str)]
        if any(value in self.history.ever(source) for source in sources):
            return
        with self.history.lock:
            writes = self.history.keys[key].writes if key in self.history.keys else []
        raise AssertionError(f"after kill {self.kills}: {key} has value {value}, allowed "
                             f"{allowed}; writes {writes}")

    def check_bytes(self, lean, key, value):
        reply = lean.request("GET", path_of(key))
        head = lean.request("HEAD", path_of(key))
        if value == ABSENT:
            if (reply.status, head.status) != (404, 404):
                raise AssertionError(f"{key} is not listed but answers {reply.status}")
            return
        etag, size = self.history.values.known[value]
        if (reply.status, reply.headers.get("etag"), head.headers.get("etag"),
                head.headers.get("content-length")) != (200, etag, etag, str(size)):
            raise AssertionError(f"{key} is listed as {etag}, {size} but answers {reply}, {head}")
        if not self.history.values.is_body(value, reply.body):
            raise AssertionError(f"{key}: wrong bytes of value {value}")

    def check_uploads(self, lean):
        """Acknowledged uploads and parts are there; then all open uploads are aborted."""
        shown = {}
        marker = []
        while True:
            xml = lean.request("GET", f"/{BUCKET}", [("uploads", None)] + marker).xml()
            for node in xml.findall("Upload"):
                shown[node.findtext("UploadId")] = node.findtext("Key")
            if xml.findtext("IsTruncated") != "true":
                break
            marker = [("key-marker", xml.findtext("NextKeyMarker")),
                      ("upload-id-marker", xml.findtext("NextUploadIdMarker"))]
        for upload_id, (key, parts) in self.uploads.open.items():
            if shown.get(upload_id) != key:
                raise AssertionError(f"acknowledged upload {upload_id} of {key} is gone")
            xml = lean.request("GET", path_of(key), [("uploadId", upload_id)]).xml()
            listed = {int(node.findtext("PartNumber")): node.findtext("ETag")
                      for node in xml.findall("Part")}
            for number, etag in parts.items():
                if listed.get(number) != etag:
                    raise AssertionError(f"acknowledged part {number} of {upload_id} is gone")
        for upload_id, key in shown.items():
            reply = lean.request("DELETE", path_of(key), [("uploadId", upload_id)])
            if reply.status != 204:
                raise AssertionError(f"abort refused: {reply}")
        self.uploads.open.clear()

    def thin_out(self, lean, found):
        if len(found) <= KEPT_KEYS_MAX:
            return
        for key in self.rng.sample([key for key in found if key not in HOT], len(found) // 2):
            record = self.history.begin(key, [ABSENT])
            if lean.request("DELETE", path_of(key)).status != 204:
                raise AssertionError(f"delete of {key} refused")
            self.history.answered(record, True)

    # ---- end ----
    def check_space_comes_back(self, empty):
        lean = Lean(self.server)
        for key in lean.list_all(BUCKET):
            lean.request("DELETE", path_of(key))
        if lean.list_all(BUCKET):
            raise AssertionError("keys are left after deleting all")
        until = time.monotonic() + SPACE_BACK_S
        while self.server.disk_bytes() > empty + SPACE_LEFT_BYTES:
            if time.monotonic() > until:
                raise AssertionError(f"{self.server.disk_bytes() >> 20} MiB on disk with no object;"
                                     f" {empty >> 20} MiB at the start")
            time.sleep(0.5)
        self.server.restart()
        if Lean(self.server).list_all(BUCKET):
            raise AssertionError("deleted keys came back")

    def run(self, kills):
        try:
            self.server.start()
            empty = self.server.disk_bytes()
            if Lean(self.server).request("PUT", f"/{BUCKET}").status != 200:
                raise AssertionError("no bucket")
            while self.kills < kills:
                self.load_and_kill()
                self.start()
                self.audit()
            self.check_space_comes_back(empty)
            self.report()
        except (AssertionError, Gone, ServerDied):
            print(f"kill loop failed: seed {self.seed}, kill {self.kills}", flush=True)
            print(self.server.log()[-3000:], flush=True)
            raise
        finally:
            self.server.kill()
            self.server.close()

    def report(self):
        restarts = sorted(self.restart_s)
        print(f"kill loop: {self.kills} kills, {self.starts_killed} killed starts, "
              f"{self.history.acked} changes acknowledged, {self.history.unanswered} unanswered, "
              f"{self.history.refused} refused, {self.audited} keys audited, "
              f"at most {self.largest >> 20} MiB on disk, restart "
              f"{restarts[len(restarts) // 2]:.2f} s median, {restarts[-1]:.2f} s longest")
        print("answers: " + ", ".join(f"{kind} {status}: {count}" for (kind, status), count
                                      in sorted(self.answers.items())), flush=True)


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    Loop(arguments[1] if len(arguments) > 1 else random.randrange(1 << 20)).run(
        arguments[0] if arguments else 20)
