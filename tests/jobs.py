# SPDX-License-Identifier: GPL-3.0-or-later
"""Test programs side by side, told of in the order in which they are listed.

Most of them wait nearly all the time (for leases, links, time-outs, the end of a run): some of these run at once. Those that
keep all cores busy (builds, guests) take turns beside them, with less right to the processor. Those that measure run first,
with nothing beside them.

A test that needs root has a world of its own: a network namespace, named namespaces, a root of cgroups, and a folder for runs.
So it sees nothing of the others, and what it leaves behind is its own. All have a folder of their own in TMPDIR, which goes with
the test, however that ends.
"""
import glob
import os
import signal
import subprocess
import tempfile
import threading
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
WAITS, WORKS, ALONE = "waits", "works", "alone"
NICE = 10  # of those that work
SETTLE = 10  # seconds that what a test has started has to end by itself

# $0: where cgroups are mounted; $1: cgroup of the test; then the test.
ENTER = """
echo $$ >"$1/cgroup.procs" || exit 125
exec unshare --net --mount --cgroup sh -c '
ip link set lo up && mkdir -p /run/netns && mount -t tmpfs none /run/netns && mount --bind "$1" "$0" || exit 125
shift; exec "$@"' "$0" "$@"
"""


class World:
    """What a test has for itself. parent: a folder; cgroups: where cgroup v2 is mounted."""

    def __init__(self, parent, number, cgroups):
        self.folder = os.path.join(parent, str(number))
        self.cgroups = cgroups
        self.cgroup = os.path.join(cgroups, f"bop-test.{os.getpid()}.{number}")
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o755)
        os.mkdir(self.cgroup)

    def argv(self, argv):
        return ["sh", "-c", ENTER, self.cgroups, self.cgroup, *argv]

    @staticmethod
    def processes(cgroup):
        found = []
        for path in glob.glob(f"{cgroup}/**/cgroup.procs", recursive=True):
            try:
                with open(path, encoding="ascii") as f:
                    found += f.read().split()
            except OSError:
                pass
        return found

    def left(self):
        """What is still there, once what ends by itself has had the time."""
        deadline = time.monotonic() + SETTLE
        while self.processes(self.cgroup) and time.monotonic() < deadline:
            time.sleep(0.02)
        found = []
        for pid in self.processes(self.cgroup):
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
                    found.append(f"process {pid} {f.read().replace(chr(0), ' ')[:100]}")
            except OSError:
                pass
        return found + glob.glob(f"{self.folder}/bop.*") + glob.glob(f"{self.cgroup}/bop.*")

    @classmethod
    def remove(cls, cgroup):
        """With all that is in it."""
        for _ in range(500):
            for pid in cls.processes(cgroup):
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                for folder, _, _ in os.walk(cgroup, topdown=False):
                    os.rmdir(folder)
                return
            except OSError:
                time.sleep(0.02)

    def end(self):
        self.remove(self.cgroup)
        subprocess.run(["rm", "-rf", self.folder], check=False)


def world_mount(parent, mounts):
    """Where cgroup v2 is mounted, if tests can have worlds of their own there, else None."""
    for mount in mounts:
        for old in glob.glob(f"{mount}/bop-test.*"):  # of one that was killed
            if not os.path.exists(f"/proc/{old.split('.')[-2]}"):
                World.remove(old)
        try:
            world = World(parent, "try", mount)
        except OSError:
            continue
        done = subprocess.run(world.argv(["true"]), stdin=subprocess.DEVNULL, capture_output=True, check=False)
        world.end()
        if not done.returncode:
            return mount
    return None


class Job:
    """A test program. takes: room in its lane, for one that works: processors; after: another one that must be over before."""

    def __init__(self, name, argv, timeout, env=None, lane=WAITS, takes=1, own_world=False, after=None):
        self.name, self.argv, self.timeout, self.env = name, argv, timeout, env or {}
        self.lane, self.takes, self.own_world, self.after = lane, takes, own_world, after
        self.process, self.world, self.folder = None, None, None
        self.status, self.output, self.seconds, self.left = None, "", 0, []
        self.over = threading.Event()

    def run(self, world_make):
        """Whatever is left of its process group, and of its world, is killed."""
        began = time.monotonic()
        try:
            self.world = world_make(self)
            os.mkdir(self.folder)
            os.chmod(self.folder, 0o1777)  # for whatever user a test becomes
            self.execute()
        except OSError as e:
            self.status, self.output = 127, str(e)
        finally:
            self.seconds = time.monotonic() - began
            if self.world:
                self.left = self.world.left() if self.status is not None else []
                self.world.end()
            self.clear()
            self.over.set()

    def clear(self):
        subprocess.run(["rm", "-rf", self.folder], check=False)

    def execute(self):
        env = {**os.environ, **self.env, "TMPDIR": self.folder}
        argv = self.argv
        if self.world:
            env["BOP_TMPDIR"] = self.world.folder
            argv = self.world.argv(argv)
        if self.lane == WORKS:
            argv = ["nice", "-n", str(NICE), *argv]
        with tempfile.TemporaryFile() as output:
            self.process = subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, start_new_session=True)
            try:
                self.status = self.process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                self.process.wait()
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            output.seek(0)
            self.output = output.read().decode(errors="replace")

    def kill(self):
        """Check runs each test in a process group of its own: with the program alone the test would live on."""
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path, encoding="utf-8", errors="replace") as f:
                    session = int(f.read().rpartition(")")[2].split()[3])
                if session == self.process.pid:
                    os.kill(int(path.split("/")[2]), signal.SIGKILL)
            except OSError:
                pass

    def stop(self):
        if self.process:
            self.kill()
        if self.world:
            self.world.end()
        self.clear()


class Queue:
    """Jobs of one lane, in their order; those that others wait for come first. room: how much of it, see Job.takes, runs at once."""

    def __init__(self, jobs, room, world_make):
        self.jobs, self.room, self.world_make = jobs, room, world_make
        self.changed = threading.Condition()
        self.running = set()

    def take(self):
        """The first one that need not wait for another and has room; None: there are no more."""
        with self.changed:
            while self.jobs:
                free = self.room - sum(job.takes for job in self.running)
                fits = (job for job in self.jobs if not self.running or job.takes <= free)
                job = next((job for job in fits if not job.after or job.after.over.is_set()), None)
                if job:
                    self.jobs.remove(job)
                    self.running.add(job)
                    return job
                self.changed.wait(0.1)  # that another lane's job is over nobody tells
        return None

    def work(self):
        while job := self.take():
            job.run(self.world_make)
            with self.changed:
                self.running.discard(job)
                self.changed.notify_all()

    def work_all(self):
        workers = [threading.Thread(target=self.work, daemon=True) for _ in range(self.room)]
        for worker in workers:
            worker.start()
        return workers

    def stop(self):
        with self.changed:
            self.jobs.clear()
            running = list(self.running)
        for job in running:
            job.stop()


def run(jobs, at_once, parent, cgroups):
    """Runs them; yields each, in the order of the list, when it is over. parent: folder for their worlds; cgroups: see World."""
    numbers, awaited = iter(range(len(jobs))), {job.after for job in jobs}
    for number, job in enumerate(jobs):
        job.folder = os.path.join(parent, f"t{number}")

    def world_make(job):
        return World(parent, next(numbers), cgroups) if job.own_world and cgroups else None

    rooms = {ALONE: 1, WORKS: os.cpu_count() or 1, WAITS: at_once}
    lanes = [Queue(sorted((job for job in jobs if job.lane == lane), key=lambda job: job not in awaited), room, world_make)
             for lane, room in rooms.items()]

    def side_by_side():
        for worker in lanes[0].work_all():
            worker.join()
        for lane in lanes[1:]:
            lane.work_all()

    threading.Thread(target=side_by_side, daemon=True).start()
    try:
        for job in jobs:
            job.over.wait()
            yield job
    finally:
        for lane in lanes:
            lane.stop()
