# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests with containers share: cgroups like those of other runtimes, and real containers of crun in namespaces of the test."""
import json
import os
import shutil
import signal
import subprocess

from harness import Skip, cgroup_mounts, kill_quietly, scratch, wait_for

# crun refuses cgroups of version 1 and 2 beside each other: in a mount namespace of its own it sees those of version 2 only
CRUN = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'


class Asleep:
    """A process that sleeps in a cgroup at this path, made for it. Use it with `with`."""

    def __init__(self, path):
        mounts = cgroup_mounts()
        if not mounts:
            raise Skip("no cgroup of version 2 is mounted")
        self.top = os.path.join(mounts[0], f"bop-containers-{os.getpid()}")
        self.folder = self.top + path
        self.process = None

    def __enter__(self):
        os.makedirs(self.folder)
        self.process = subprocess.Popen(["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec sleep 1000', self.folder])
        wait_for("the cgroup", lambda: str(self.process.pid) in self.members())
        return self

    @property
    def pid(self):
        return self.process.pid

    def members(self):
        with open(self.folder + "/cgroup.procs", encoding="ascii") as f:
            return f.read().split()

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
        wait_for("the end", lambda: not self.members())
        folder = self.folder
        while folder.startswith(self.top):
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)


def file_of(program):
    """Where a program is, and the libraries that it needs."""
    path = shutil.which(program)
    if not path:
        raise Skip(f"{program} is not installed")
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    return [path] + [word for line in listed.splitlines() for word in line.split() if word.startswith("/")]


def image(*programs):
    """A folder with these programs, their libraries and a shell, as the root of containers."""
    root = scratch(0o755)
    for folder in ("proc", "dev", "tmp", "etc", "data"):
        os.mkdir(os.path.join(root, folder))
    for text in ("hosts", "resolv.conf"):
        with open(os.path.join(root, "etc", text), "w", encoding="ascii"):
            pass
    with open(os.path.join(root, "etc/passwd"), "w", encoding="ascii") as f:
        f.write("root:x:0:0::/:/bin/sh\nredis:x:4321:4322::/data:/bin/sh\n")
    for program in programs:
        for path in file_of(program):
            copy = root + path
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy(path, copy)
    os.makedirs(root + "/bin", exist_ok=True)
    for applet in ("sh", "sleep", "touch", "cat", "nc", "env", "id", "pwd", "ls", "timeout"):
        os.symlink("/bin/busybox", f"{root}/bin/{applet}")
    shutil.copy(shutil.which("busybox"), root + "/bin/busybox")
    return root


class Container:
    """A container of crun with its root read-only, in a network namespace by name. state: a folder for the files of all of them."""

    def __init__(self, state, name, root, netns, *argv, user=0):
        if not shutil.which("crun"):
            raise Skip("crun is not installed")
        self.state, self.name, self.bundle = os.path.join(state, "run/crun"), name, scratch()
        self.pid = 0
        namespaces = [{"type": word} for word in ("pid", "mount", "ipc", "uts")]
        config = {
            "ociVersion": "1.0.0", "hostname": name,
            "root": {"path": root, "readonly": True},
            "process": {"user": {"uid": user, "gid": user}, "args": list(argv), "cwd": "/", "env": ["PATH=/bin:/usr/bin"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                       {"destination": "/data", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {"namespaces": [*namespaces, {"type": "network", "path": f"/run/netns/{netns}"}]},
        }
        with open(os.path.join(self.bundle, "config.json"), "w", encoding="ascii") as f:
            json.dump(config, f)

    def crun(self, *argv, check=True, text=True):
        return subprocess.run(["unshare", "--mount", "sh", "-c", CRUN, "sh", "crun", "--root", self.state,
                               "--cgroup-manager=cgroupfs", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=text,
                              check=check, timeout=60)

    def enter(self, *argv):
        """Starts a process in it, as `docker exec -d`: whose parent is not in it."""
        subprocess.run(["unshare", "--mount", "sh", "-c", CRUN, "sh", "crun", "--root", self.state, "--cgroup-manager=cgroupfs",
                        "exec", "--detach", self.name, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True, timeout=60)

    def start(self):
        os.makedirs(self.state, exist_ok=True)
        with open(os.path.join(self.bundle, "out"), "w", encoding="ascii") as out:
            done = subprocess.run(["unshare", "--mount", "sh", "-c", CRUN, "sh", "crun", "--root", self.state,
                                   "--cgroup-manager=cgroupfs", "run", "--detach", "--bundle", self.bundle, self.name],
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, timeout=60)
        if done.returncode:
            with open(os.path.join(self.bundle, "out"), encoding="utf-8", errors="replace") as out:
                text = " ".join(out.read().split())
            self.stop()
            raise Skip(f"crun cannot start a container here: {text}")
        self.pid = json.loads(self.crun("state", self.name).stdout)["pid"]
        return self

    def stop(self):
        """As if it had crashed; nothing of it stays."""
        if self.pid:
            kill_quietly(self.pid, signal.SIGKILL)
        self.crun("delete", "--force", self.name, check=False)
        self.pid = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
