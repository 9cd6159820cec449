#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian packages: built, examined by lintian, installed, used as services and removed again in a Debian 12 of its own.

That is a guest of qemu with systemd and no network: what the packages depend on is in its apt's cache. Prints TAP. The guest's root
is made once and kept in build/vm.
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vm"))
import vm  # noqa: E402

KERNEL = "linux-image-cloud-amd64"
MODULES = ["virtio_pci", "virtio_blk", "ext4"]
LATER = ["veth", "bridge", "unix_diag", "tcp_diag", "udp_diag", "sch_ingress", "cls_bpf"]  # systemd has no udev here to load them
PACKAGES = ["bop", "tfj", "bop-examples", "libbop0", "libbop-dev"]
TIMEOUT = 1200  # seconds; a quiet machine needs a tenth of it

# Its first process loads what is needed to see the disk.
INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module || echo "# insmod $module failed"; done
mkdir -p /root && mount -t ext4 /dev/vda /root || { echo "### no root"; poweroff -f; }
umount /proc; mount --move /dev /root/dev
exec switch_root /root /lib/systemd/systemd
"""

SERVICE = """[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'exec bash /test/script >/dev/ttyS0 2>&1'
ExecStopPost=/test/guest-exit 2
"""

SCRIPT = r"""
section() { echo "### $1"; }
wait_for() { for i in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done; echo "waited in vain: $*"; }
for module in $(cat /test/modules/order); do insmod /test/modules/$module; done
section install
find / -xdev -type f -o -xdev -type l | grep -vE '^/(var|proc|sys|run|tmp)/' | sort >/tmp/before
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends /test/debs/*.deb >/tmp/apt 2>&1 || cat /tmp/apt
echo "status $?"; dpkg-query -W -f='${Package} ${Status}\n' @PACKAGES@
systemctl is-enabled bop-serve tfj; systemctl is-active bop-serve tfj
for p in @PACKAGES@; do dpkg --verify $p; done
section service
systemctl start bop-serve tfj
wait_for sh -c 'bop boxes --json | grep -q "\"host\""'
bop boxes
bop run --server /test/examples/client-server/experiment.yaml 2>&1; echo "status $?"
bop runs --server
test -s /var/lib/bop/runs.db && echo "store there"
systemctl is-active bop-serve tfj
section restart
systemctl restart tfj
wait_for sh -c 'bop boxes --json | grep -q "\"host\""'
bop run --server /test/examples/client-server/experiment.yaml 2>&1; echo "status $?"
section stop
systemctl stop tfj bop-serve
systemctl show -p Result,ExecMainStatus bop-serve tfj
pgrep -l 'tfj|bop' | grep -v bop-test; ip netns list; find /sys/fs/cgroup -maxdepth 2 -name '*bop*' ! -name 'bop-test*'; echo "nothing left above"
section remove
DEBIAN_FRONTEND=noninteractive apt-get purge -y -q @PACKAGES@ >/tmp/apt 2>&1 || cat /tmp/apt
dpkg-query -W -f='${Package} ${Status}\n' @PACKAGES@ 2>&1 | grep -v 'no packages found'
find / -xdev -type f -o -xdev -type l | grep -vE '^/(var|proc|sys|run|tmp)/' | sort >/tmp/after
diff /tmp/before /tmp/after | grep -E '/(bop|tfj|libbop)|box-of-pain'; echo "nothing left above"
test -s /var/lib/bop/runs.db && echo "runs are still there"
section kernel
dmesg | grep -v 'soft lockup' | grep -E '@SPLAT@' || echo "no complaint"
section end
/test/guest-exit 0
"""


def run(*argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **kwargs)
    if done.returncode:
        raise vm.Unavailable(f"{argv[0]} failed: " + " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:]))
    return done.stdout


def debs():
    return sorted(path for path in glob.glob(os.path.join(vm.OUT, "deb/*.deb")) if "-dbgsym_" not in path)


def root_make():
    """A folder with a Debian 12 whose apt has all in its cache that the packages depend on."""
    needs = {run("dpkg-deb", "-f", path, "Depends") for path in debs()}
    folder = os.path.join(vm.CACHE, "root-" + hashlib.sha256("".join(sorted(needs)).encode()).hexdigest()[:16])
    if os.path.exists(os.path.join(folder, "ready")):
        return os.path.join(folder, "root")
    for old in glob.glob(os.path.join(vm.CACHE, "root-*")):
        shutil.rmtree(old)
    os.makedirs(folder)
    sources = run("apt-get", "indextargets", "--format", "$(ORIGIN) deb [arch=amd64] $(REPO_URI) $(CODENAME) $(COMPONENT)",
                  "Created-By: Packages")
    sources = "".join(line.removeprefix("Debian ") + "\n" for line in sources.splitlines()
                      if line.startswith("Debian ") and "backports" not in line)
    fetch = f'cp {" ".join(debs())} "$1/tmp/" && chroot "$1" sh -c "apt-get install -y -q --download-only --no-install-recommends /tmp/*.deb"'
    run("setsid", "mmdebstrap", "--mode=root", "--variant=minbase", "--include=systemd-sysv,iproute2,kmod,procps",
        '--skip=cleanup/apt', f"--customize-hook={fetch}", "bookworm", os.path.join(folder, "root"), "-", input=sources)
    vm.ready(folder)
    return os.path.join(folder, "root")


def disk_make(kernel, folder):
    """The root with the packages and the test beside it, as an image of a disk."""
    root = root_make()
    stage = os.path.join(folder, "root")
    run("cp", "-a", "--reflink=auto", root, stage)
    test = os.path.join(stage, "test")
    os.makedirs(os.path.join(test, "debs"))
    os.makedirs(os.path.join(test, "modules"))
    for path in debs():
        shutil.copy(path, os.path.join(test, "debs"))
    loaded = kernel.modules(LATER)
    for name, data in loaded.items():
        with open(os.path.join(test, "modules", name), "wb") as f:
            f.write(data)
    with open(os.path.join(test, "modules/order"), "w", encoding="ascii") as f:
        f.write("\n".join(loaded))
    with open(os.path.join(test, "script"), "w", encoding="utf-8") as f:
        f.write(SCRIPT.replace("@PACKAGES@", " ".join(PACKAGES)).replace("@SPLAT@", vm.SPLAT))
    shutil.copy(os.path.join(vm.OUT, "tests/vm/guest-exit"), test)
    shutil.copytree(os.path.join(vm.ROOT, "examples/client-server"), os.path.join(test, "examples/client-server"))
    shutil.copytree(os.path.join(vm.OUT, "examples/client-server"), os.path.join(test, "build/examples/client-server"))
    units = os.path.join(stage, "etc/systemd/system")
    with open(os.path.join(units, "bop-test.service"), "w", encoding="ascii") as f:
        f.write(SERVICE)
    wants = os.path.join(units, "multi-user.target.wants")
    os.makedirs(wants, exist_ok=True)
    os.symlink("/etc/systemd/system/bop-test.service", os.path.join(wants, "bop-test.service"))
    os.symlink("/dev/null", os.path.join(units, "serial-getty@ttyS0.service"))  # without udev it waits for its device
    for path in ("etc/fstab", "etc/machine-id", "etc/hosts"):
        with open(os.path.join(stage, path), "w", encoding="ascii"):
            pass
    disk = os.path.join(folder, "disk.img")
    run("mke2fs", "-q", "-t", "ext4", "-d", stage, disk, "3G")
    shutil.rmtree(stage)
    return disk


def boot(folder):
    kernel = vm.Kernel(KERNEL)
    image = os.path.join(folder, "initrd.cpio")
    vm.initramfs(kernel, MODULES, INIT, image)
    disk = disk_make(kernel, folder)
    return vm.boot(kernel, image, 1024, TIMEOUT, os.path.join(vm.CACHE, "deb.log"), disk=disk)


class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def result(self, good, name, detail=""):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {name}")
        for line in [] if good else detail.strip().splitlines()[-60:]:
            print(f"# {line}")
        sys.stdout.flush()


def judge(tap, parts):
    """What was printed under each heading."""
    def part(name):
        return parts.get(name, "(there is no such part)")

    text = part("install")
    tap.result("status 0" in text and len(re.findall("install ok installed", text)) == len(PACKAGES), "the packages install", text)
    tap.result(text.count("disabled") == 2 and text.count("inactive") == 2, "nothing starts by itself", text)
    tap.result(not re.search(r"^[?.]{2}[?.5]", text, re.M), "what is installed is what was packed", text)
    text = part("service")
    tap.result("status 0" in text and "store there" in text and text.count("active") == 2 and "waited in vain" not in text,
               "server and agent run as services, and run an experiment", text)
    text = part("restart")
    tap.result("status 0" in text and "waited in vain" not in text, "so does an agent that was restarted", text)
    text = part("stop")
    tap.result(text.count("Result=success") == 2 and re.search(r"ExecMainStatus=\d+\n+nothing left above", text),
               "stopped, they leave nothing behind", text)
    text = part("remove")
    tap.result(text.startswith("nothing left above\nruns are still there"), "removed, they leave the runs and nothing else", text)
    tap.result("no complaint" in part("kernel"), "the kernel has no complaint", part("kernel"))


def main():
    tap = Tap()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    built = subprocess.run(["make", "--no-print-directory", f"O={vm.OUT}", "deb"], cwd=vm.ROOT, env=environment, text=True,
                           capture_output=True, check=False)
    tap.result(not built.returncode and len(debs()) == len(PACKAGES), "make deb builds them, and lintian has no complaint",
               built.stdout + built.stderr)
    os.makedirs(vm.CACHE, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=vm.CACHE) as folder:
        try:
            passed, printed = boot(folder)
        except vm.Unavailable as reason:
            tap.result(False, "a Debian 12 to install them in", str(reason))
        else:
            judge(tap, vm.sections(printed))
            tap.result(passed, "the guest came to its end", printed)
    print(f"1..{tap.n}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
