# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines for one experiment: guests of qemu with an agent each, and the server that they connect to, outside of them.

All of it is in a network namespace of its own. A guest has two cards: one in the network that the guests have in common (multicast over that
namespace's loopback), in which their boxes are, and one for its agent's link alone, a tap device whose other end is the namespace's.
Nothing leads out. What to do a guest is told over its serial console.
"""
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../net"))

import vm  # noqa: E402  pylint: disable=wrong-import-position
from harness import OUT, scratch, wait_for  # noqa: E402  pylint: disable=wrong-import-position
from serving import Server  # noqa: E402  pylint: disable=wrong-import-position

KERNEL = "linux-image-cloud-amd64"
MODULES = ["virtio_pci", "virtio_net", "veth", "bridge", "unix_diag", "tcp_diag", "udp_diag", "sch_ingress", "cls_bpf"]
NAT_MODULES = ["nf_tables", "nft_chain_nat", "nft_masq", "nf_nat"]
MEMORY = 512  # MiB each
WAIT = 300  # seconds; a quiet machine needs a tenth of it
SECRET = "/etc/bop/keys/agent.secret"  # in each guest
PORT = 7100  # of the server, in the namespace

GUEST = r"""
for word in $(cat /proc/cmdline); do case $word in bop.*) eval "${word#bop.}";; esac; done
hostname $name
[ -z "$clock" ] || date -s @$(($(date +%s) + clock)) >/dev/null
card() { for at in /sys/class/net/*; do [ $(cat $at/address) != $1 ] || echo ${at##*/}; done; }
lan=$(card 52:54:00:00:01:0$number) link=$(card 52:54:00:00:02:0$number)
ip addr add 10.94.0.$number/24 dev $lan; ip link set $lan up
ip addr add 10.95.$number.2/24 dev $link; ip link set $link up
stty -echo
echo "### ready $lan $link"
while read -r order line; do eval "$line" </dev/null; echo "### $order $?"; done
"""


def fill(image):
    """What a guest needs, at the paths that it has here."""
    for name in ("bop", "tfj", "examples/quorum/quorum-server", "examples/quorum/quorum-client"):
        image.copy(os.path.join(OUT, name))
    for name in ("ip", "nft"):
        path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if not path:
            raise vm.Unavailable(f"there is no {name}")
        image.copy(path, f"/usr/bin/{name}")


class Guest:
    """A guest that does what it is told over its serial console: `### ORDER STATUS` after each."""

    def __init__(self, name, folder, within=()):
        self.name, self.within = name, within
        self.log = os.path.join(folder, f"{name}.log")
        self.process, self.orders, self.printed = None, 0, 0

    def start(self, argv):
        """Starts it, and does not wait."""
        self.printed = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([*self.within, *argv], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
                                            preexec_fn=vm.end_with_us)
        return self

    def text(self):
        """What it has printed since it was started."""
        with open(self.log, "rb") as f:
            f.seek(self.printed)
            return f.read().decode(errors="replace").replace("\r", "")

    def said(self, pattern):
        """Waits until it has printed that."""
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended:\n{self.text()[-3000:]}")
            return re.search(pattern, self.text(), re.M)
        return wait_for(f"{self.name} to say {pattern}", look, WAIT)

    def tell(self, line):
        """Runs a line of shell there, and does not wait. Returns its number."""
        self.orders += 1
        self.process.stdin.write(f"{self.orders} {line}\n".encode())
        self.process.stdin.flush()
        return self.orders

    def do(self, line, status=0):
        """Runs a line of shell there to its end; returns what it printed."""
        at = len(self.text())
        found = self.said(rf"^### {self.tell(line)} (\d+)$")
        printed = self.text()[at:found.start()]
        if status is not None and int(found[1]) != status:
            raise AssertionError(f"{self.name}: {line}: {found[1]}\n{printed}")
        return printed

    def kill(self):
        """As if its power had gone."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
            self.process.stdin.close()


class Machine(Guest):
    """One of several. Its box has the machine's own network, unless told otherwise (agent())."""

    def __init__(self, machines, number, name):
        super().__init__(name, machines.folder, machines.within)
        self.machines, self.number = machines, number
        self.tap = f"link{number}"
        machines.tap(self.tap, f"10.95.{number}.1/24")
        self.arguments = machines.server.allow(name)
        self.secret, self.arguments[-1] = self.arguments[-1], SECRET

    def boot(self, words=""):
        """Starts it, and does not wait."""
        secret = vm.Image()
        with open(self.secret, "rb") as f:
            secret.add(SECRET, f.read(), 0o600)
        image = os.path.join(self.machines.folder, f"{self.name}.cpio")
        secret.write(image + ".own")
        with open(image, "wb") as out:  # the kernel unpacks one archive after the other
            for part in (self.machines.image, image + ".own"):
                with open(part, "rb") as f:
                    shutil.copyfileobj(f, out)
                out.write(b"\0" * (-out.tell() % 512))
        devices = ["-smp", "1"]
        for card, netdev in (("1", f"socket,mcast=230.0.0.1:{PORT},localaddr=127.0.0.1"),
                             ("2", f"tap,ifname={self.tap},script=no,downscript=no")):
            devices += ["-netdev", f"{netdev},id=net{card}",
                        "-device", f"virtio-net-pci,netdev=net{card},mac=52:54:00:00:0{card}:0{self.number},romfile="]
        argv = vm.qemu(self.machines.kernel, image, MEMORY, devices=devices, words=f"bop.name={self.name} bop.number={self.number} {words}")
        return self.start(argv)

    def ready(self):
        self.said(r"^### ready \S+ \S+$")
        return self

    def agent(self, *boxes, argv=()):
        """Starts an agent there. boxes: for --box; none: the machine is the box of its name."""
        named = " ".join(f"--box {box}" for box in boxes or [f"{self.name}=host"])
        words = " ".join(f"'{word}'" for word in [*self.arguments, *argv])
        self.do(f"mkdir -p -m 755 {os.environ['BOP_TMPDIR']}")  # where the server makes the folders of runs
        self.do(f"{OUT}/tfj --collector tcp://10.95.{self.number}.1:{PORT} {words} {named} >/tmp/tfj.log 2>&1 & agent=$!")
        return self

    def end_agent(self):
        self.do("kill $agent; wait $agent", None)

    def cable(self, plugged):
        """That of its agent's link."""
        self.machines.ip("link", "set", self.tap, "up" if plugged else "down")


class Space:
    """The namespace, with the server and the guests. Use it with `with`: make() is called then."""

    def __init__(self):
        self.folder = scratch()
        self.space = f"bopnet{os.getpid()}vm"
        self.within = ["nsenter", f"--net=/run/netns/{self.space}"]
        self.server = Server(tcp=True)
        self.server.port, self.server.address, self.server.within = PORT, "0.0.0.0", self.within
        self.machine = {}

    def ip(self, *argv):
        subprocess.run([*self.within, "ip", *argv], check=True, capture_output=True, timeout=30)

    def tap(self, name, address):
        """A device for a guest's card; address: of its other end, in the namespace."""
        try:
            self.ip("tuntap", "add", "dev", name, "mode", "tap")
        except subprocess.CalledProcessError as e:
            raise vm.Unavailable(f"no tap device can be made: {e.stderr.decode().strip()}") from None
        self.ip("addr", "add", address, "dev", name)
        self.ip("link", "set", name, "up")

    def __enter__(self):
        try:
            subprocess.run(["ip", "netns", "add", self.space], check=True, capture_output=True, timeout=30)
            self.ip("link", "set", "lo", "up")
            return self.make()
        except BaseException:
            self.__exit__()
            raise

    def make(self):
        return self

    def connected(self, n):
        """Waits until so many agents are there and idle."""
        def states():
            for machine in self.machine.values():
                if machine.process.poll() is not None:
                    raise AssertionError(f"{machine.name} ended:\n{machine.text()[-3000:]}")
            return [agent["state"] for agent in self.server.boxes()["agents"]] == ["idle"] * n
        wait_for(f"{n} agents", states, WAIT)

    def __exit__(self, *_):
        for machine in self.machine.values():
            machine.kill()
        try:
            if self.server.running and self.server.running.process.poll() is None:
                self.server.running.signal(signal.SIGTERM)
                self.server.running.end()
        finally:
            subprocess.run(["ip", "netns", "del", self.space], check=False, capture_output=True, timeout=30)


class Machines(Space):
    """Use it with `with`: guests of these names have booted then, with an agent each, unless agents is False."""

    def __init__(self, *names, agents=True, words=None):
        super().__init__()
        self.names, self.agents, self.words = names, agents, words or {}
        self.kernel = vm.Kernel(KERNEL)
        self.image = os.path.join(self.folder, "common.cpio")
        vm.guest_image(self.kernel, MODULES + NAT_MODULES, GUEST, self.image, fill)

    def make(self):
        self.ip("route", "add", "224.0.0.0/4", "dev", "lo")
        for number, name in enumerate(self.names, 1):
            self.machine[name] = Machine(self, number, name).boot(self.words.get(name, ""))
        self.server.start()
        for machine in self.machine.values():
            machine.ready()
        if self.agents:
            for machine in self.machine.values():
                machine.agent()
            self.connected(len(self.names))
        return self

    def complaints(self):
        """Of the guests' kernels, and of their agents' memory."""
        found = {}
        for machine in self.machine.values():
            if machine.process.poll() is None:
                said = machine.do(f"dmesg | grep -v 'soft lockup' | grep -E '{vm.SPLAT}'; grep Sanitizer /tmp/tfj.log", None)
                if said.strip():
                    found[machine.name] = said
        return found
