#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloud-init/: a Debian 12 with cloud-init, in qemu, becomes a node by what is on a seed disk, and nothing else.

`bop serve` is outside, in a network namespace of its own, and all that the machine can reach. One disk is booted thrice: new, again, and as a
copy in another machine would be. Prints TAP.
"""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vm"))
import debian  # noqa: E402  pylint: disable=wrong-import-position
import vm  # noqa: E402  pylint: disable=wrong-import-position
from machines import PORT, WAIT, Guest, Space  # noqa: E402  pylint: disable=wrong-import-position

from harness import Skip, bop, command, equal, experiment, run_tests, show, true, wait_for  # noqa: E402  pylint: disable=wrong-import-order,wrong-import-position

WEB = 8000  # port of a web server with packages
MEMORY = 1024  # MiB
TAP, MAC = "link1", "52:54:00:00:02:01"
NETWORK = f"""version: 1
config:
  - {{type: physical, name: eth0, mac_address: "{MAC}", subnets: [{{type: static, address: 10.95.1.2/24}}]}}
"""
# The console is cloud-init's; orders come over the other line.
SERVICE = """[Service]
Environment=HOME=/root
ExecStart=/bin/bash -c 'exec bash /test/orders </dev/ttyS1 >/dev/ttyS1 2>&1'
"""
ORDERS = r"""stty -echo
echo "### ready"
while read -r order line; do eval "$line" </dev/null; echo "### $order $?"; done
"""
TALK = """experiment: talk
boxes: [%s]
processes:
  - {name: server, box: %s, run: [server, "7000"], ready: {listen: 7000}}
workload: {name: client, box: %s, run: [client, client, %s, "7000", "2", "3"]}
timeout: 60s
"""
world = {}


class Node(Guest):
    """The machine with the disk, and with the seed that it is given."""

    def __init__(self, space, folder):
        super().__init__("node", space.folder, space.within)
        self.console = os.path.join(vm.CACHE, "cloud-init.log")
        self.kernel, self.image = debian.initramfs(folder)
        disk = debian.Disk(debian.root("cloud", ["udev", "ifupdown", "cloud-init"]), folder)
        disk.copy(os.path.join(self.kernel.folder, "lib/modules"), "lib/modules")
        disk.add("etc/cloud/cloud.cfg.d/90_test.cfg", "locale: C.UTF-8\n")  # others would have to be made first
        disk.add("etc/default/locale", "LANG=C.UTF-8\n")
        disk.add("test/orders", ORDERS)
        disk.service("bop-test", SERVICE)
        for name in ("server", "client"):
            disk.copy(os.path.join(vm.OUT, "examples/client-server", name), f"usr/local/bin/{name}")
        self.disk = disk.write("4G")

    def boot(self, seed, uuid):
        """With this seed, as the machine with this number."""
        devices = ["-netdev", f"tap,ifname={TAP},script=no,downscript=no,id=net", "-uuid", uuid,
                   "-device", f"virtio-net-pci,netdev=net,mac={MAC},romfile=", "-serial", f"file:{self.console}"]
        for path, only in ((self.disk, "off"), (seed, "on")):
            devices += ["-drive", f"file={path},format=raw,if=virtio,cache=unsafe,readonly={only}"]
        self.start(vm.qemu(self.kernel, self.image, MEMORY, devices=devices, words="net.ifnames=0"))
        self.said(r"^### ready$")
        return self

    def came_up(self):
        """Waits until cloud-init has done all; what it says of itself."""
        said = self.do("cloud-init status --wait --long", None)
        true("status: done" in said, f"{said}\n{self.told()[-3000:]}")
        return said

    def told(self):
        """What stands on its console since it was started."""
        with open(self.console, encoding="utf-8", errors="replace") as f:
            return f.read().replace("\r", "")

    def power_off(self):
        self.tell("systemctl poweroff")
        self.process.wait(WAIT)
        self.kill()


def by_guide(folder, *words):
    """Runs the commands of docs/many-machines.md that have these words as they stand there, in a folder; the seeds have a network, too."""
    with open(os.path.join(folder, "network"), "w", encoding="ascii") as f:
        f.write(NETWORK)
    environment = {**os.environ, "PATH": f"{vm.OUT}:{os.environ['PATH']}"}
    for _, line in debian.guide("cloud-init", SERVERKEY=f"'{space().server.key}'", SERVER="10.95.1.1"):
        if all(word in line for word in words):
            line = line.replace("cloud-init/make node", f"{vm.ROOT}/cloud-init/make node --network network")
            line = line.replace("cloud-init/make server", f"{vm.ROOT}/cloud-init/make server").replace("build/deb/", f"{vm.OUT}/deb/")
            command("sh", "-c", line, cwd=folder, env=environment)


def folder_of(name):
    path = os.path.join(space().folder, name)
    os.makedirs(path)
    return path


def space():
    if "why" in world:
        raise Skip(world["why"])
    true("space" in world or not world.get("tried"), "the machine could not be made")
    if "space" not in world:
        world["tried"] = True
        try:
            made, printed = debian.debs_make()
            true(made, printed)
            os.makedirs(vm.CACHE, exist_ok=True)
            world["folder"] = tempfile.TemporaryDirectory(dir=vm.CACHE)  # pylint: disable=consider-using-with
            world["space"] = Space().__enter__()
            world["space"].tap(TAP, "10.95.1.1/24")
            world["space"].server.start()
            world["space"].machine["node"] = Node(world["space"], world["folder"].name)
        except vm.Unavailable as reason:
            world["why"] = str(reason)
            raise Skip(world["why"]) from None
    return world["space"]


def node():
    return space().machine["node"]


def allow(name, key):
    bop("keys", "--keys", space().server.keys, "allow", name, key)


def agents():
    return space().server.boxes()["agents"]


def said_key(name):
    """What stands on its console."""
    found = re.search(rf"this is the node {name}; on the server: bop keys allow {name} '([^']{{40}})'", node().told())
    true(found, f"no key on its console:\n{node().told()[-3000:]}")
    return found[1]


def runs_on(box):
    """An experiment on that box, of which nothing is missing."""
    space().connected(1)
    node().do(f"mkdir -p -m 755 {os.environ['BOP_TMPDIR']}")  # where the server makes the folders of runs
    equal([[b["name"] for b in agent["boxes"]] for agent in agents()], [[box]], "boxes")
    space().server.run(experiment(TALK % (box, box, box, box)))
    got = show("last", space().server.store)
    equal((got["outcome"], got["incomplete"], got["lost"], got["holes"]), ("good", False, 0, []), f"the run ({got['reason']})")
    equal(len([m for m in got["messages"] if m["label"].startswith("client>")]), 6, "messages of the client")


def test_new():
    """a new machine installs the packages, makes a key and says it, knocks at the server, and is a node as soon as it is allowed"""
    folder = folder_of("new")
    by_guide(folder, "make node", "'")
    world["seed"] = os.path.join(folder, "n1.img")
    node().boot(world["seed"], "00000000-0000-4000-8000-000000000001")
    node().came_up()
    world["key"] = said_key("n1")
    wait_for("a stranger", lambda: space().server.boxes()["refused"]["unknown_key"], WAIT)
    equal(agents(), [], "agents that nobody allowed")
    allow("n1", world["key"])
    runs_on("n1")
    equal(node().do("systemctl is-enabled tfj; stat -c '%a %U' /etc/bop/keys/node.secret /etc/bop/cloud.conf; hostname").split(),
          ["enabled", "600", "root", "600", "root", "n1"], "the service, the modes of secrets, the name")
    secret = node().do("cat /etc/bop/keys/node.secret").strip()
    equal(node().do(f"grep -rlF -e '{secret}' /var/log /run/cloud-init /var/lib/cloud", None).split(), [], "places with its secret")


def test_schema():
    """cloud-init itself finds no fault with the file"""
    said = node().do("cloud-init schema --system; cloud-init schema --config-file /var/lib/cloud/instance/user-data.txt")
    equal(said.count("Valid"), 2, said)


def test_twice():
    """what made it a node changes nothing the second time: the run of its agent goes on"""
    before = node().do("cksum /etc/bop/keys/* /etc/default/tfj /etc/bop/cloud.machine; systemctl show -p MainPID tfj; ls -la /etc/bop/keys /var/cache/apt")
    node().do("/usr/local/sbin/bop-cloud")
    equal(node().do("cksum /etc/bop/keys/* /etc/default/tfj /etc/bop/cloud.machine; systemctl show -p MainPID tfj; ls -la /etc/bop/keys /var/cache/apt"),
          before, "the machine")


def test_url():
    """packages that are missing come from a web server, too, but not others than those that were meant; with them the node is back"""
    conf, web = "/etc/bop/cloud.conf", f"http://10.95.1.1:{WEB}"
    node().do(f"cp {conf} /root/; sed -i \"s,^URL=.*,URL='{web}',\" {conf}; DEBIAN_FRONTEND=noninteractive apt-get purge -q -y bop tfj; systemctl daemon-reload")
    wait_for("the agent to be gone", lambda: not agents(), WAIT)
    equal(node().do("pgrep -x tfj", 1), "", "agents after the packages were removed")
    with subprocess.Popen([*space().within, sys.executable, "-m", "http.server", str(WEB), "--directory", os.path.join(vm.OUT, "deb")],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=vm.end_with_us) as server:
        try:
            wait_for("the web server", lambda: b":%d " % WEB in subprocess.run([*space().within, "ss", "-Hltn"], capture_output=True, check=False).stdout)
            node().do(f"sed -i 's/[0-9a-f]\\{{64\\}}/{'0' * 64}/' {conf}")
            said = node().do("/usr/local/sbin/bop-cloud", 1)
            true(re.search(rf"bop-cloud: no bop_\S+ with this checksum can be had from {web}", said), said)
            node().do(f"cp /root/cloud.conf {conf}; sed -i \"s,^URL=.*,URL='{web}',\" {conf}; /usr/local/sbin/bop-cloud")
        finally:
            server.kill()
    runs_on("n1")
    equal(node().do("cat /etc/bop/keys/node.public").strip(), world["key"], "its key")


def test_again():
    """booted again it is the node with the key that it had"""
    node().power_off()
    node().boot(world["seed"], "00000000-0000-4000-8000-000000000001")
    node().came_up()
    runs_on("n1")
    equal(node().do("cat /etc/bop/keys/node.public").strip(), world["key"], "its key")


def test_copy():
    """a copy of its disk in another machine, even with the same seed, never shows the key that it brought, and makes one of its own"""
    node().power_off()
    wait_for("the agent to be gone", lambda: not agents(), WAIT)
    before = space().server.boxes()["refused"]["unknown_key"]
    node().boot(world["seed"], "00000000-0000-4000-8000-000000000002")
    node().came_up()
    own = said_key("n1")
    true(own != world["key"], "it has the key of the machine that was copied")
    wait_for("a stranger", lambda: space().server.boxes()["refused"]["unknown_key"] > before, WAIT)
    said = node().do("journalctl -b -o cat _PID=1 | grep tfj")
    true("Skipped due to 'exec-condition'" in said.partition("Started")[0], f"tfj began with the key that was copied:\n{said}")
    equal(agents(), [], "agents with that key")
    bop("keys", "--keys", space().server.keys, "remove", "n1")
    allow("n1", own)
    runs_on("n1")


def test_given():
    """another seed makes it a node with a key that was made beforehand and allowed: nobody has to look at a console"""
    folder = folder_of("given")
    by_guide(folder, "bop keys --keys")
    with open(f"{folder}/server.public", "w", encoding="ascii") as f:
        f.write(space().server.key + "\n")  # the server that is there has its own
    by_guide(folder, "make server --key")
    by_guide(folder, "make node", "--key")
    allow("given", f"{folder}/n1.public")
    node().power_off()
    node().boot(f"{folder}/n1.img", "00000000-0000-4000-8000-000000000003")
    runs_on("n1")
    with open(f"{folder}/n1.secret", encoding="ascii") as f:
        equal(node().do("cat /etc/bop/keys/node.secret"), f.read(), "its key")


def test_kernel():
    """the machine's kernel has no complaint"""
    equal(node().do(f"dmesg | grep -v 'soft lockup' | grep -E '{vm.SPLAT}'", None), "", "it says")


def main():
    try:
        return run_tests(test_new, test_schema, test_twice, test_url, test_again, test_copy, test_given, test_kernel)
    finally:
        if "space" in world:
            world["space"].__exit__()
        if "folder" in world:
            world["folder"].cleanup()


if __name__ == "__main__":
    sys.exit(main())
