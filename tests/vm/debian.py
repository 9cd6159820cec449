# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian 12 on a disk, for guests of qemu, with systemd and no network of its own: what our packages depend on is in its apt's cache.

A root is made once and kept in build/vm; it needs this machine's network. Also the packages themselves.
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess

import vm

KERNEL = "linux-image-cloud-amd64"
MODULES = ["virtio_pci", "virtio_blk", "ext4"]
PACKAGES = ["bop", "tfj", "bop-examples", "libbop0", "libbop-dev"]

# Its first process loads what is needed to see the disk.
INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module || echo "# insmod $module failed"; done
mkdir -p /root && mount -t ext4 /dev/vda /root || { echo "### no root"; poweroff -f; }
umount /proc; mount --move /dev /root/dev
exec switch_root /root /lib/systemd/systemd
"""


def run(*argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **kwargs)
    if done.returncode:
        raise vm.Unavailable(f"{argv[0]} failed: " + " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:]))
    return done.stdout


def debs(names=PACKAGES):
    """The packages of these names that `make deb` has made."""
    found = sorted(glob.glob(os.path.join(vm.OUT, "deb/*.deb")))
    return [path for path in found if os.path.basename(path).partition("_")[0] in names]


def debs_make():
    """`make deb`: (whether it made all of them, what it printed)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    built = subprocess.run(["make", "--no-print-directory", f"O={vm.OUT}", "deb"], cwd=vm.ROOT, env=environment, text=True,
                           capture_output=True, check=False)
    return not built.returncode and len(debs()) == len(PACKAGES), built.stdout + built.stderr


def root(name, include=()):
    """A folder with a Debian 12 that has these packages, and all in its apt's cache that ours depend on."""
    key = [name, *include, *sorted(run("dpkg-deb", "-f", path, "Depends") for path in debs())]
    folder = os.path.join(vm.CACHE, f"root-{name}-{hashlib.sha256(''.join(key).encode()).hexdigest()[:16]}")
    if os.path.exists(os.path.join(folder, "ready")):
        return os.path.join(folder, "root")
    for old in glob.glob(os.path.join(vm.CACHE, f"root-{name}-*")):
        shutil.rmtree(old)
    os.makedirs(folder)
    sources = run("apt-get", "indextargets", "--format", "$(ORIGIN) deb [arch=amd64] $(REPO_URI) $(CODENAME) $(COMPONENT)",
                  "Created-By: Packages")
    sources = "".join(line.removeprefix("Debian ") + "\n" for line in sources.splitlines()
                      if line.startswith("Debian ") and "backports" not in line)
    fetch = f'cp {" ".join(debs())} "$1/tmp/" && chroot "$1" sh -c "apt-get install -y -q --download-only --no-install-recommends /tmp/*.deb"'
    run("setsid", "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(['systemd-sysv,iproute2,kmod,procps', *include])}",
        '--skip=cleanup/apt', f"--customize-hook={fetch}", '--customize-hook=rm -f "$1"/tmp/*.deb', "bookworm",
        os.path.join(folder, "root"), "-", input=sources)
    vm.ready(folder)
    return os.path.join(folder, "root")


class Disk:
    """A copy of a root, to which things are added before it becomes an image of a disk."""

    def __init__(self, base, folder):
        self.stage, self.folder = os.path.join(folder, "root"), folder
        run("cp", "-a", "--reflink=auto", base, self.stage)
        for path in ("etc/fstab", "etc/machine-id", "etc/hosts"):
            self.add(path, "")
        self.link("etc/systemd/system/serial-getty@ttyS0.service", "/dev/null")  # without udev it waits for its device

    def at(self, path):
        """The path of that file of it, whose folder is there."""
        full = os.path.join(self.stage, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def add(self, path, data):
        with open(self.at(path), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())

    def link(self, path, target):
        os.symlink(target, self.at(path))

    def copy(self, source, path):
        if os.path.isdir(source):
            shutil.copytree(source, self.at(path), symlinks=True)
        else:
            shutil.copy(source, self.at(path))

    def service(self, name, text):
        """Starts with the machine."""
        self.add(f"etc/systemd/system/{name}.service", text)
        self.link(f"etc/systemd/system/multi-user.target.wants/{name}.service", f"/etc/systemd/system/{name}.service")

    def write(self, size):
        """The image; the copy is gone then."""
        disk = os.path.join(self.folder, "disk.img")
        run("mke2fs", "-q", "-t", "ext4", "-d", self.stage, disk, size)
        shutil.rmtree(self.stage)
        return disk


def initramfs(folder):
    """(kernel, the initramfs with which it goes on with the first disk)."""
    kernel, image = vm.Kernel(KERNEL), os.path.join(folder, "initrd.cpio")
    vm.initramfs(kernel, MODULES, INIT, image)
    return kernel, image


def guide(section, **words):
    """The commands of a section of docs/many-machines.md, in order: [(at whose prompt, command)]. words: {what stands in them: what is meant}."""
    with open(os.path.join(vm.ROOT, "docs/many-machines.md"), encoding="utf-8") as f:
        text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", f.read(), re.M | re.S)[1]
    found = []
    for prompt, line in re.findall(r"^    (\w+)[#$] +(.*?)(?:  +# .*)?$", text, re.M):
        for word, meant in words.items():
            line = re.sub(rf"'{word}'|\b{word}\b", lambda _, meant=meant: meant, line)
        found.append((prompt, line))
    return found
