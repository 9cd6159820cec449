#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian packages: built, examined by lintian, installed, used as services, upgraded and removed again in a Debian 12 of its own.

That is a guest of qemu with systemd and no network. The commands of docs/many-machines.md about packages are run there as they stand; the
guest is both of its machines. Prints TAP.
"""
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vm"))
import debian  # noqa: E402
import vm  # noqa: E402
from debian import PACKAGES  # noqa: E402

LATER = ["veth", "bridge", "unix_diag", "tcp_diag", "udp_diag", "sch_ingress", "cls_bpf"]  # systemd has no udev here to load them
TIMEOUT = 1200  # seconds; a quiet machine needs a tenth of it
NEXT = "+next"  # the end of a version to upgrade to

ON_S2 = """experiment: on-s2
boxes: [s2]
path: [build/examples/client-server]
processes:
  - {name: server, box: s2, run: [server, "7000"], ready: {listen: 7000}}
workload: {name: client, box: s2, run: [client, client, s2, "7000", "2", "3"]}
"""

SERVICE = """[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=HOME=/root
ExecStart=/bin/bash -c 'exec bash /test/script >/dev/ttyS0 2>&1'
ExecStopPost=/test/guest-exit 2
"""

SCRIPT = r"""
section() { echo "### $1"; }
wait_for() { for i in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done; echo "waited in vain: $*"; }
files() { find / -xdev -type f -o -xdev -type l | grep -vE '^/(var|proc|sys|run|tmp)/' | sort; }
connected() { wait_for sh -c 'bop boxes --json | grep -q "\"host\""'; }
export DEBIAN_FRONTEND=noninteractive
for module in $(cat /test/modules/order); do insmod /test/modules/$module; done
section install
files >/tmp/before
apt-get install -y -q /test/debs/*.deb >/tmp/apt 2>&1 || cat /tmp/apt
echo "status $?"; dpkg-query -W -f='${Package} ${Status}\n' @PACKAGES@
systemctl is-enabled bop-serve tfj; systemctl is-active bop-serve tfj
for p in @PACKAGES@; do dpkg --verify $p; done
section service
systemctl start bop-serve tfj
connected
bop boxes
bop run --server /test/examples/client-server/experiment.yaml 2>&1; echo "status $?"
bop runs --server
test -s /var/lib/bop/runs.db && echo "store there"
systemctl is-active bop-serve tfj
section restart
systemctl restart tfj
connected
bop run --server /test/examples/client-server/experiment.yaml 2>&1; echo "status $?"
section stop
systemctl stop tfj bop-serve
systemctl show -p Result,ExecMainStatus bop-serve tfj
pgrep -l 'tfj|bop' | grep -v bop-test; ip netns list; find /sys/fs/cgroup -maxdepth 2 -name '*bop*' ! -name 'bop-test*'; echo "nothing left above"
section remove
apt-get purge -y -q @PACKAGES@ >/tmp/apt 2>&1 || cat /tmp/apt
dpkg-query -W -f='${Package} ${Status}\n' @PACKAGES@ 2>&1 | grep -v 'no packages found'
files >/tmp/after
diff /tmp/before /tmp/after | grep -E '/(bop|tfj|libbop)|box-of-pain'; echo "nothing left above"
test -s /var/lib/bop/runs.db && echo "runs are still there"
doing() { echo "# $1"; eval "$1" >/tmp/did 2>&1 || echo "FAILED: $1"; grep -v 'Reading database' /tmp/did; }
section guide
ip link add net0 type veth peer name net1 && ip addr add 10.96.0.1/24 dev net0 && ip link set net0 up  # of the box
@GUIDE@
section after
ls /var/lib/bop/runs.db /etc/bop/keys/s2.secret /etc/bop/keys/allowed
systemctl is-active bop-serve tfj; find /etc/systemd/system -name 'tfj*' -o -name 'bop-serve*'; pgrep -l 'tfj|bop' | grep -v bop-test; files >/tmp/after
diff /tmp/before /tmp/after | grep -E '/(bop|tfj|libbop)|box-of-pain' | grep -vE '^> /etc/(bop/keys/|default/)'; echo "nothing else left above"
section kernel
dmesg | grep -v 'soft lockup' | grep -E '@SPLAT@' || echo "no complaint"
section end
/test/guest-exit 0
"""


def guide():
    """Its commands, each told; after those that begin something, what is to be waited for. Their second time packages are newer ones."""
    lines, installed = [], 0
    for prompt, line in debian.guide("Packages", SERVERKEY='"$(cat /etc/bop/keys/server.public)"', AGENTKEY='"$(cat /etc/bop/keys/s2.public)"',
                                     SERVER="127.0.0.1", EXPERIMENT="/test/on-s2.yaml"):
        if prompt == "build":
            continue  # done outside
        if "doing 'apt purge bop tfj'" in lines[-1:]:
            continue  # the other machine is the same one
        if prompt == "server" and "install" in line:
            installed += 1
            lines.append("cd " + ("/test/debs" if installed == 1 else "/test/next"))
        lines.append("doing '" + line.replace("'", "'\\''") + "'")
        if re.search(r"systemctl \S.*tfj", line):
            lines += ["connected", "echo \"bop is $(dpkg-query -W -f='${Version}' bop)\""]
    return "\n".join(lines) + "\njournalctl -q -o cat -u tfj -n 20"


def newer(path, folder):
    """The same package with a higher version."""
    tree = os.path.join(folder, "tree")
    debian.run("dpkg-deb", "-R", path, tree)
    control = os.path.join(tree, "DEBIAN/control")
    with open(control, encoding="utf-8") as f:
        text = re.sub(r"^(Version: .*|.*\btfj \(= [^)]*)", rf"\1{NEXT}", f.read(), flags=re.M)
    with open(control, "w", encoding="utf-8") as f:
        f.write(text)
    debian.run("dpkg-deb", "--root-owner-group", "-b", tree, os.path.join(folder, os.path.basename(path)))
    shutil.rmtree(tree)


def disk_make(kernel, folder):
    """The root with the packages and the test beside it, as an image of a disk."""
    disk = debian.Disk(debian.root("deb"), folder)
    for path in debian.debs():
        disk.copy(path, f"test/debs/{os.path.basename(path)}")
    with tempfile.TemporaryDirectory(dir=folder) as new:
        for path in debian.debs(["bop", "tfj"]):
            newer(path, new)
        disk.copy(new, "test/next")
    loaded = kernel.modules(LATER)
    for name, data in loaded.items():
        disk.add(f"test/modules/{name}", data)
    disk.add("test/modules/order", "\n".join(loaded))
    disk.add("etc/apt/apt.conf.d/90test", 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n')
    disk.add("test/script", SCRIPT.replace("@PACKAGES@", " ".join(PACKAGES)).replace("@SPLAT@", vm.SPLAT).replace("@GUIDE@", guide()))
    disk.add("test/on-s2.yaml", ON_S2)
    disk.copy(os.path.join(vm.OUT, "tests/vm/guest-exit"), "test/guest-exit")
    disk.copy(os.path.join(vm.ROOT, "examples/client-server"), "test/examples/client-server")
    disk.copy(os.path.join(vm.OUT, "examples/client-server"), "test/build/examples/client-server")
    disk.service("bop-test", SERVICE)
    return disk.write("3G")


def boot(folder):
    kernel, image = debian.initramfs(folder)
    return vm.boot(kernel, image, 1024, TIMEOUT, os.path.join(vm.CACHE, "deb.log"), disk=disk_make(kernel, folder))


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
    text = part("guide")
    tap.result(text.count("# ") > 10 and "FAILED" not in text and "waited in vain" not in text and "good" in text,
               "each command of the guide does what it says, over TCP", text)
    tap.result(re.search(rf"bop is \S+{re.escape(NEXT)}\n", text), "upgraded, the services go on with what they had", text)
    text = part("after")
    tap.result(text.count("/etc/bop/keys/") == 2 and "runs.db" in text and text.count("inactive") == 2 and "service" not in text
               and "\nnothing else left above" in text and "> " not in text, "removed after that, they leave runs, keys and settings", text)
    tap.result("no complaint" in part("kernel"), "the kernel has no complaint", part("kernel"))


def main():
    tap = vm.Tap()
    made, printed = debian.debs_make()
    tap.result(made, "make deb builds them, and lintian has no complaint", printed)
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
