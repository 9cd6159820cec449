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
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
OUT = os.path.realpath(os.path.join(ROOT, os.environ.get("O", "build")))
CACHE = os.path.join(OUT, "vm")
GUEST_PASSED = 33  # (16 << 1) | 1: what isa-debug-exit makes of the 16 that /init writes
# of tests/kernel/, what needs nothing but libbpf; what the first two do, every backend can
TRACER_PROGRAMS = ["test_tracer", "test_tracer_bytes", "test_tracer_begin", "test_tracer_tasks", "test_tracer_scope", "test_tracer_attach",
                   "test_datagram"]
SPLAT = r"BUG|WARNING|Oops|general protection|KASAN|lockdep|segfault|[Oo]ut of memory"


class Unavailable(Exception):
    """There is no such kernel, or no qemu, to be had here; the text says why."""


def output(*argv, cwd=None):
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{argv[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


AS_ROOT = ["-o", "APT::Sandbox::User=root"]  # apt writes into our folder


def ready(folder):
    """Says that all of it is there."""
    with open(os.path.join(folder, "ready"), "w", encoding="ascii"):
        pass


def foreign_apt(architecture):
    """Options with which apt knows the packages of another architecture, in a folder of its own: this machine's apt is only
    asked where it gets Debian from."""
    folder = os.path.join(CACHE, f"apt-{architecture}")
    options = ["-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures={architecture}",
               "-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null",
               "-o", f"Dir::State={folder}/state", "-o", "Dir::State::status=/dev/null", "-o", f"Dir::Cache={folder}/cache"]
    if os.path.exists(os.path.join(folder, "ready")):
        return options
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("state/lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(folder, part))
    sources = output("apt-get", "indextargets", "--format", "$(ORIGIN) deb [arch=%s] $(REPO_URI) $(CODENAME) $(COMPONENT)"
                     % architecture, "Created-By: Packages")
    with open(os.path.join(folder, "sources.list"), "w", encoding="ascii") as f:
        f.writelines(line.removeprefix("Debian ") + "\n" for line in sources.splitlines() if line.startswith("Debian "))
    output("apt-get", *options, *AS_ROOT, "update")
    ready(folder)
    return options


def packages_fetch(name, packages, apt=()):
    """The folder below build/vm into which these packages are unpacked."""
    folder = os.path.join(CACHE, name)
    if os.path.exists(os.path.join(folder, "ready")):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    output("apt-get", *apt, *AS_ROOT, "download", *packages, cwd=folder)
    for package in glob.glob(os.path.join(folder, "*.deb")):
        output("dpkg", "-x", package, folder)
        os.unlink(package)
    ready(folder)
    return folder


class Kernel:
    """A kernel package (by the name of the package that depends on the newest one), unpacked."""

    def __init__(self, meta, apt=()):
        self.folder = os.path.join(CACHE, meta)
        if not os.path.exists(os.path.join(self.folder, "ready")):
            depends = re.findall(r"Depends: (linux-image-\S+)", output("apt-cache", *apt, "depends", meta))
            if not depends:
                raise Unavailable(f"apt knows no kernel behind {meta}")
            packages_fetch(meta, depends[:1], apt)
        self.image = glob.glob(os.path.join(self.folder, "boot/vmlinu*"))[0]
        self.version = os.path.basename(glob.glob(os.path.join(self.folder, "lib/modules/*"))[0])
        if not os.path.exists(os.path.join(self.folder, "lib/modules", self.version, "modules.dep")):
            output("/sbin/depmod", "-b", self.folder, self.version)

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
/bin/sh /guest; status=$?
# a virtual CPU that the machine lets wait for long looks locked up from inside
if dmesg | grep -v 'soft lockup' | grep -E '@SPLAT@'; then echo "not ok - the guest's kernel complains"; status=9; fi
echo "### ended $status"
[ ! -e /bin/guest-exit ] || /bin/guest-exit $status
poweroff -f
"""


def busybox_add(image):
    if not shutil.which("busybox"):
        raise Unavailable("there is no busybox; install busybox-static")
    image.copy(shutil.which("busybox"), "/bin/busybox")


def modules_add(image, kernel, names):
    loaded = kernel.modules(names)
    for name, data in loaded.items():
        image.add(f"modules/{name}", data)
    image.add("modules/order", "\n".join(loaded).encode())


def initramfs(kernel, modules, init, path):
    """Writes one that holds no more than what is needed to go on with a disk: `init` is its first process."""
    image = Image()
    for folder in ("bin", "proc", "dev", "root"):
        image.folder(folder)
    busybox_add(image)
    modules_add(image, kernel, modules)
    image.add("init", init.encode(), 0o755)
    image.write(path)


def guest_image(kernel, modules, script, path, fill, foreign_busybox=None):
    """Writes an initramfs that runs `script` as root. fill(image) puts in what it needs. foreign_busybox: the guest is of
    another architecture than this machine."""
    image = Image()
    for folder in ("bin", "sbin", "proc", "sys", "dev", "tmp", "run", "root"):
        image.folder(folder)
    if foreign_busybox:
        with open(foreign_busybox, "rb") as f:
            image.add("/bin/busybox", f.read(), 0o755)
    else:
        busybox_add(image)
        image.copy("/bin/dash", "/bin/sh")  # busybox's would run its own ip before that of iproute2
        image.copy(os.path.join(OUT, "tests/vm/guest-exit"), "/bin/guest-exit")
    modules_add(image, kernel, modules)
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


MACHINES = {
    "amd64": ("qemu-system-x86_64", "qemu-system-x86", "ttyS0",
              ["-M", "pc", "-smp", "2", "-device", "isa-debug-exit,iobase=0x501,iosize=2"]),
    "arm64": ("qemu-system-aarch64", "qemu-system-arm", "ttyAMA0", ["-M", "virt", "-cpu", "cortex-a72", "-smp", "1"]),
}


def qemu(kernel, image, memory, architecture="amd64", devices=("-nic", "none"), words=""):
    """The command that runs the guest. words: for its kernel's command line."""
    name, package, console, machine = MACHINES[architecture]
    program = shutil.which(name)
    if not program:
        raise Unavailable(f"there is no {name}; install {package}")
    # one thread for both CPUs: with two, one CPU now and then runs an old state of what the other patches in the kernel's
    # code (an Oops "int3")
    return [program, "-accel", "tcg,thread=single", *machine, "-m", str(memory), "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", *devices, "-serial", "stdio", "-kernel", kernel.image, "-initrd", image,
            # a busy machine's virtual timer may be too late for the kernel's check of it. What the kernel says would stand in the midst
            # of what programs print, but dmesg has it at the end; an Oops and a panic are said all the same, as they would not be with 0
            "-append", f"console={console} panic=-1 loglevel=1 nosoftlockup no_timer_check {words}"]


def boot(kernel, image, memory, timeout, log, architecture="amd64", disk=None):
    """Runs the guest; disk: an image that it can write to. What it prints is in the file log while it runs. Returns (passed, what it printed)."""
    argv = qemu(kernel, image, memory, architecture)
    if disk:
        argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
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
    if architecture == "amd64":
        return status == GUEST_PASSED, printed
    return status == 0 and re.search("^### ended 0$", printed, re.M) is not None, printed  # it has no such device


def sections(printed):
    """What was printed under each heading; before the first: "boot"."""
    parts = re.split(r"^### (.*)\n", printed, flags=re.M)
    return {"boot": parts[0], **dict(zip(parts[1::2], parts[2::2]))}


class Tap:
    """Tells of each test as it ends."""

    def __init__(self):
        self.n = self.failed = 0

    def result(self, good, name, detail=""):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {name}")
        if not good:
            for line in detail.strip().splitlines()[-60:]:
                print(f"# {line}")
        sys.stdout.flush()

    def skip(self, name, reason):
        self.n += 1
        print(f"ok {self.n} - {name} # SKIP {reason}", flush=True)
