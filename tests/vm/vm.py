# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian kernels in qemu: fetched with apt, never installed; a guest that lives in its initramfs and has no network.

What is fetched and made is kept in build/vm. A guest ends by telling qemu a number; anything but GUEST_PASSED, a panic and
a power-off too, is a failure.
"""
import ctypes
import glob
import lzma
import os
import re
import shutil
import signal
import stat
import subprocess

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
OUT = os.path.realpath(os.path.join(ROOT, os.environ.get("O", "build")))
CACHE = os.path.join(OUT, "vm")
GUEST_PASSED = 33  # (16 << 1) | 1: what isa-debug-exit makes of the 16 that /init writes
SPLAT = r"BUG|WARNING|Oops|general protection|KASAN|lockdep|rcu_.*stall|blocked for more than"


class Unavailable(Exception):
    """There is no such kernel, or no qemu, to be had here; the text says why."""


def output(*argv, cwd=None):
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{argv[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


class Kernel:
    """A kernel package (by the name of the package that depends on the newest one), unpacked."""

    def __init__(self, meta):
        self.folder = os.path.join(CACHE, meta)
        if not os.path.exists(os.path.join(self.folder, "ready")):
            self.fetch(meta)
        self.image = glob.glob(os.path.join(self.folder, "boot/vmlinu*"))[0]
        self.version = os.path.basename(glob.glob(os.path.join(self.folder, "lib/modules/*"))[0])

    def fetch(self, meta):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        depends = re.findall(r"Depends: (linux-image-\S+)", output("apt-cache", "depends", meta))
        if not depends:
            raise Unavailable(f"apt knows no kernel behind {meta}")
        output("apt-get", "-o", "APT::Sandbox::User=root", "download", depends[0], cwd=self.folder)
        for package in glob.glob(os.path.join(self.folder, "*.deb")):
            output("dpkg", "-x", package, self.folder)
            os.unlink(package)
        version = os.path.basename(glob.glob(os.path.join(self.folder, "lib/modules/*"))[0])
        output("/sbin/depmod", "-b", self.folder, version)
        with open(os.path.join(self.folder, "ready"), "w", encoding="ascii"):
            pass

    def modules(self, names):
        """Contents of these modules and of what they need, in the order in which they are to be loaded."""
        seen = {}
        for name in names:
            shown = subprocess.run(["/sbin/modprobe", "-d", self.folder, "-S", self.version, "--show-depends", name],
                                   capture_output=True, text=True, check=False).stdout
            for path in re.findall(r"^insmod (\S+)", shown, re.M):
                with open(path, "rb") as f:
                    data = f.read()
                seen.setdefault(os.path.basename(path).removesuffix(".xz"),
                                lzma.decompress(data) if path.endswith(".xz") else data)
        return seen


class Image:
    """An initramfs, in the form that the kernel unpacks."""

    def __init__(self):
        self.entries = {}

    def add(self, path, data, mode=0o644):
        self.parents(path)
        self.entries[path.strip("/")] = (stat.S_IFREG | mode, data)

    def link(self, path, target):
        self.parents(path)
        self.entries[path.strip("/")] = (stat.S_IFLNK | 0o777, target.encode())

    def folder(self, path, mode=0o755):
        self.parents(path)
        self.entries.setdefault(path.strip("/"), (stat.S_IFDIR | mode, b""))

    def parents(self, path):
        parts = path.strip("/").split("/")
        for n in range(1, len(parts)):
            self.entries.setdefault("/".join(parts[:n]), (stat.S_IFDIR | 0o755, b""))

    def copy(self, source, path=None):
        """A file of this machine, at the same path unless told otherwise, with the libraries that it needs."""
        with open(source, "rb") as f:
            data = f.read()
        self.add(path or source, data, os.stat(source).st_mode & 0o777)
        if data[:4] != b"\x7fELF":
            return
        found = subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", found):
            if library.strip("/") not in self.entries:
                with open(library, "rb") as f:
                    self.add(library, f.read(), 0o755)

    def write(self, path):
        with open(path, "wb") as out:
            for number, (name, (mode, data)) in enumerate(sorted(self.entries.items()), 1):
                self.entry(out, number, name, mode, data)
            self.entry(out, 0, "TRAILER!!!", 0, b"")

    @staticmethod
    def entry(out, number, name, mode, data):
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))


INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/sbin:/usr/sbin:/usr/bin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t tmpfs -o mode=1777 tmp /tmp; mount -t tmpfs run /run; mkdir -p /run/netns
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ulimit -l unlimited
for module in $(cat /modules/order); do insmod /modules/$module || echo "# insmod $module failed"; done
ip link set lo up
sh /guest; status=$?
if dmesg | grep -E '@SPLAT@'; then echo "not ok - the guest's kernel complains"; status=9; fi
/bin/guest-exit $status
poweroff -f
"""


def guest_image(kernel, modules, script, path, fill):
    """Writes an initramfs that runs `script` (for a busybox shell) as root. fill(image) puts in what it needs."""
    image = Image()
    for folder in ("bin", "sbin", "proc", "sys", "dev", "tmp", "run", "root"):
        image.folder(folder)
    image.copy(shutil.which("busybox"), "/bin/busybox")
    image.copy("/bin/dash", "/bin/sh")  # busybox's would run its own ip before that of iproute2
    image.copy(os.path.join(OUT, "tests/vm/guest-exit"), "/bin/guest-exit")
    loaded = kernel.modules(modules)
    for name, data in loaded.items():
        image.add(f"modules/{name}", data)
    image.add("modules/order", "\n".join(loaded).encode())
    image.add("etc/passwd", b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    image.add("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    image.add("etc/hosts", b"127.0.0.1 localhost\n")
    image.add("etc/hostname", b"guest\n")
    image.add("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files\n")
    image.add("init", INIT.replace("@SPLAT@", SPLAT).encode(), 0o755)
    image.add("guest", script.encode())
    fill(image)
    image.write(path)


def end_with_us():
    """qemu ends when this process does, however that comes about."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def boot(kernel, image, memory, timeout, log):
    """Runs the guest. What it prints is in the file log while it runs. Returns (passed, what it printed)."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise Unavailable("there is no qemu-system-x86_64; install qemu-system-x86")
    argv = [qemu, "-accel", "tcg", "-M", "pc", "-m", str(memory), "-smp", "2", "-nodefaults", "-no-user-config", "-display",
            "none", "-no-reboot", "-nic", "none", "-serial", "stdio", "-kernel", kernel.image, "-initrd", image,
            "-append", "console=ttyS0 panic=-1 quiet", "-device", "isa-debug-exit,iobase=0x501,iosize=2"]
    with open(log, "wb") as out, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                                  preexec_fn=end_with_us) as process:
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    with open(log, "rb") as f:
        printed = f.read().decode(errors="replace").replace("\r", "")
    if status < 0:
        printed += f"\n# stopped after {timeout} s\n"
    return status == GUEST_PASSED, printed
