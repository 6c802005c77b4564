"""Disks for a server of many: plain directories, or file systems that fail on demand."""
import os
import shutil
import subprocess
import time

from harness.server import TOP, binary

MOUNT_LIMIT_S = 20
READ_ERROR, WRITE_ERROR, FSYNC_ERROR, FULL, HANG, OPEN_ERROR, DELAY = range(7)


def faultfs():
    """The program beside the goodfs under test, or None when it was not built or cannot mount."""
    build = os.path.dirname(os.path.dirname(os.path.abspath(binary())))
    for folder in (build, os.path.join(TOP, "build")):
        path = os.path.join(folder, "tests", "faultfs", "faultfs")
        if os.access(path, os.X_OK) and os.access("/dev/fuse", os.R_OK | os.W_OK) and \
                shutil.which("fusermount3"):
            return path
    return None


class PlainDisk:
    """A directory below home. What a test does to a disk, done to a directory."""

    def __init__(self, home, name):
        self.home, self.name = home, name
        self.path = self.real = os.path.join(home, name)
        os.makedirs(self.path)

    def empty(self):
        """What an operator does who mixes up two disks: everything is gone, the place is there."""
        for name in os.listdir(self.real):
            path = os.path.join(self.real, name)
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)

    def take_away(self):
        os.rename(self.real, self.real + ".away")

    def bring_back(self):
        os.rename(self.real + ".away", self.real)

    def close(self):
        shutil.rmtree(self.real, ignore_errors=True)
        shutil.rmtree(self.real + ".away", ignore_errors=True)


class FaultDisk(PlainDisk):
    """A mounted faultfs over a directory; only where faultfs() is not None."""

    def __init__(self, home, name):
        super().__init__(home, name + ".real")
        self.path = os.path.join(home, name)
        os.makedirs(self.path)
        self.control = os.path.join(home, name + ".control")
        with open(self.control, "wb") as file:
            file.write(bytes(8))
        with open(os.path.join(home, name + ".faultfs"), "wb") as log:
            self.process = subprocess.Popen([faultfs(), self.real, self.path, self.control],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + MOUNT_LIMIT_S
        while not os.path.ismount(self.path):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"faultfs did not mount {self.path}")
            time.sleep(0.01)

    def set(self, *kinds):
        """These faults and no others."""
        self._write(bytes(kind in kinds for kind in range(DELAY)), 0)

    def fail(self):
        """Everything answers EIO."""
        self.set(READ_ERROR, WRITE_ERROR, FSYNC_ERROR, OPEN_ERROR)

    def hang(self):
        """Every call waits, look-ups too, until something else is set or the disk is abandoned."""
        self._write(bytes(2 if kind == HANG else 0 for kind in range(DELAY)), 0)

    def abandon(self):
        """Ends the file system under whatever waits in it: the calls fail, a process that was
        killed can end."""
        self.process.kill()
        self.process.wait()

    def mend(self):
        """No fault and no delay any more."""
        self.set()
        self.delay(0)

    def delay(self, milliseconds):
        """Of every call, until it is set again."""
        self._write(milliseconds.to_bytes(2, "little"), DELAY)

    def _write(self, data, offset):
        with open(self.control, "r+b", buffering=0) as file:
            file.seek(offset)
            file.write(data)

    def close(self):
        self._write(bytes(8), 0)
        subprocess.run(["fusermount3", "-u", "-z", self.path], check=False, capture_output=True)
        try:
            self.process.wait(MOUNT_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        super().close()
