#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL server for tests: of Debian's package, in a folder of its own, on a socket in it, as nobody who may do
anything. No cluster of this machine is touched. It goes away with whoever started it, also when that one is killed.

As a program, `postgres.py PROGRAM...`: runs that with a server, whose socket's folder is in $BOP_TEST_POSTGRES.
"""
import atexit
import contextlib
import ctypes
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

WAIT = 60
PDEATHSIG = 1


def programs():
    """The folder of the newest version that is installed."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb") or [shutil.which("initdb") or ""]
    return os.path.dirname(max(found, key=lambda path: [int(n) for n in path.split("/") if n.isdigit()]))


def die_with_parent():
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)


class Postgres:
    """Use it with `with`. tmpfs: its data lies on one of that size (such as "48m"), for a disk that gets full."""

    def __init__(self, tmpfs=None, settings=()):
        self.folder = tempfile.mkdtemp(prefix="bop-pg-")  # a socket's name must be short
        self.data = os.path.join(self.folder, "data")
        self.settings, self.mounted, self.process = settings, False, None
        self.user = pwd.getpwnam("nobody") if not os.geteuid() else None
        try:
            os.mkdir(self.data, 0o700)
            if tmpfs:
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={tmpfs},mode=700", "none", self.data], check=True)
                self.mounted = True
            if self.user:
                for path in (self.folder, self.data):
                    os.chown(path, self.user.pw_uid, self.user.pw_gid)
            self._run("initdb", "-D", self.data, "-U", "bop", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8",
                      *(["--wal-segsize=1"] if tmpfs else []))
        except BaseException:
            self.remove()
            raise

    def _as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def _run(self, program, *argv):
        done = subprocess.run([os.path.join(programs(), program), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=WAIT, check=False, cwd=self.folder, **self._as_user())
        if done.returncode:
            raise AssertionError(f"{program}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        # /dev/shm is everybody's: what a killed server leaves should lie in its own folder
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "dynamic_shared_memory_type": "mmap",
                    "fsync": "off", "max_connections": "60", "shared_buffers": "16MB", "log_min_messages": "warning", **dict(self.settings)}
        argv = [os.path.join(programs(), "postgres"), "-D", self.data]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                            preexec_fn=die_with_parent, **self._as_user())
        deadline = time.monotonic() + WAIT
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server does not start: {self.log()}")
            time.sleep(0.02)
        return self

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()[-4000:]

    def answers(self):
        return subprocess.run([os.path.join(programs(), "pg_isready"), "-q", "-h", self.folder], check=False).returncode == 0

    def sql(self, text, database="postgres", check=True):
        """What it answers, without decoration."""
        done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", "bop", "-d", database, "-c", text],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT, check=False)
        if check and done.returncode:
            raise AssertionError(f"{text}: {done.stderr}")
        return done.stdout.strip()

    @contextlib.contextmanager
    def locked(self, table, database):
        """Nobody can write to that table meanwhile; it can be read."""
        argv = ["psql", "-XqAt", "-h", self.folder, "-U", "bop", "-d", database]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            print(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE;\n\\echo locked", file=holder.stdin, flush=True)
            if holder.stdout.readline() != "locked\n":
                raise AssertionError(f"{table} of {database} cannot be locked")
            yield

    @contextlib.contextmanager
    def unreachable(self):
        """Nobody new can connect meanwhile; who is connected stays so."""
        socket, away = (os.path.join(self.folder, name) for name in (".s.PGSQL.5432", "away"))
        os.rename(socket, away)
        yield
        os.rename(away, socket)

    def waiting(self, database):
        """How many wait for a lock."""
        return int(self.sql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'"))

    def url(self, database="postgres"):
        return f"postgresql://bop@/{database}?host={self.folder}"

    def database(self, name):
        """A new, empty one."""
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def processes(self):
        """All of the server: they work in its data folder."""
        found = []
        for proc in glob.glob("/proc/[0-9]*"):
            try:
                if os.readlink(f"{proc}/cwd") == self.data:
                    found.append(int(proc[6:]))
            except OSError:
                pass
        return found

    def _signal(self, number):
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def hang(self):
        self._signal(signal.SIGSTOP)

    def go(self):
        self._signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL to all of it, as if the machine had gone."""
        segment = self._segment()
        while pids := self.processes():
            self._signal(signal.SIGKILL)
            if self.process:
                self.process.poll()
            time.sleep(0.01 if pids else 0)
        if self.process:
            self.process.wait(WAIT)
            self.process = None
        if segment:  # the only thing that outlives it
            subprocess.run(["ipcrm", "-m", segment], stderr=subprocess.DEVNULL, check=False)

    def _segment(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as f:
                return f.read().splitlines()[6].split()[1]
        except (OSError, IndexError):
            return None

    def stop(self, number=signal.SIGINT):
        """Orderly; SIGINT: connections are cut."""
        if self.process:
            self.process.send_signal(number)
            self.process.wait(WAIT)
            self.process = None

    def remove(self):
        self.kill()
        if self.mounted:
            subprocess.run(["umount", self.data], check=False)
            self.mounted = False
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        atexit.register(self.remove)
        return self.start()

    def __exit__(self, *_):
        self.remove()
        atexit.unregister(self.remove)


def main():
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Postgres() as server:
        return subprocess.run(sys.argv[1:], env={**os.environ, "BOP_TEST_POSTGRES": server.folder}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
