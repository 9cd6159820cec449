#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""vagrant/: what can be seen of it without a virtual machine. `make vagrant-check` does it with some.

provision.sh runs for real, in namespaces that stand in for machines (stand_in.py); the Vagrantfile is read by Ruby (vagrantfile.rb), and by Vagrant if it is there.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys

from harness import BOP, ROOT, Skip, command, equal, experiment, one_line, run_tests, scratch, true
from serving import Embedded
from stand_in import StandIn, checkout, package

FOLDER = os.path.join(ROOT, "vagrant")
SCRIPT = os.path.join(FOLDER, "provision.sh")
SETTINGS = ("BOP_NODES", "BOP_BOX", "BOP_DRIVER", "BOP_ISOLATED", "BOP_MEMORY", "BOP_CPUS", "BOP_BUILD")
PACKAGES = ("bop", "tfj", "bop-examples")


def environment(**settings):
    return {**{name: text for name, text in os.environ.items() if name not in SETTINGS}, **settings}


def ruby():
    if not shutil.which("ruby"):
        raise Skip("there is no ruby")
    return [shutil.which("ruby"), os.path.join(ROOT, "tests/net/vagrantfile.rb"), os.path.join(FOLDER, "Vagrantfile")]


def read(status=0, **settings):
    """What the Vagrantfile says."""
    return command(*ruby(), scratch(), env=environment(**settings), status=status)


def sources():
    """Those that provision.sh looks at."""
    with open(SCRIPT, encoding="utf-8") as f:
        return re.search(r"^SOURCES=\((.*?)\)", f.read(), re.M)[1].split()


def complains(result, *words):
    """In one line, with these words."""
    equal(len(result.err.splitlines()), 1, f"lines of {result}")
    for word in words:
        true(word in result.err, f"not a word of {word!r}: {result}")


def same(got, wanted, what):
    """Two states of a machine."""
    true(got == wanted, what + " changed: " + ", ".join(sorted(set(got.splitlines()) ^ set(wanted.splitlines()))))


class Vagrant:
    """The Vagrantfile's triggers, and the machines that it thinks there are."""

    def __init__(self, **machines):
        self.data, self.process = scratch(), None
        self.now(**machines)

    def now(self, settings=None, **machines):
        """Another command of Vagrant begins."""
        argv = [word for name, machine in machines.items() for word in (machine.pid, name)]
        self.end()
        self.process = subprocess.Popen([*ruby(), self.data, *argv], env=environment(**settings or {}), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def ask(self, when, action, name):
        print(when, action, name, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def do(self, action, name):
        said = []
        for when in ("before", "after"):
            answer = self.ask(when, action, name)
            equal(answer["failed"], None, f"{when} {action} {name}")
            said += answer["said"]
        return said

    def end(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def words_of(name, nodes=2, **settings):
    """How provision.sh is called on it."""
    return read(BOP_NODES=str(nodes), **settings).json()["defined"][name]["provisioners"][0]["args"]


def test_scripts():
    """scripts and Vagrantfile are well-formed; shellcheck, if it is there, has no complaint"""
    scripts = [SCRIPT, os.path.join(FOLDER, "run"), *(path for path in (os.path.join(FOLDER, "box"), os.path.join(FOLDER, "check")) if os.path.exists(path))]
    for path in scripts:
        true(os.access(path, os.X_OK), f"{path} cannot be run")
    shells = [path for path in scripts if re.match(rb"#!.*sh\b", open(path, "rb").readline())]
    for path in shells:
        command("bash", "-n", path)
    if shutil.which("ruby"):
        command("ruby", "-c", os.path.join(FOLDER, "Vagrantfile"))
    if not shutil.which("shellcheck"):
        raise Skip("bash has no complaint; there is no shellcheck")
    command("shellcheck", *shells)


def test_validate():
    """Vagrant itself takes the Vagrantfile"""
    if not shutil.which("vagrant"):
        raise Skip("there is no vagrant")
    options = [] if "vagrant-libvirt" in command("vagrant", "plugin", "list", env=vagrant_environment(), status=None).out else ["--ignore-provider"]
    command("vagrant", "validate", *options, cwd=FOLDER, env=vagrant_environment())


def vagrant_environment():
    home = scratch()
    return environment(VAGRANT_HOME=home, VAGRANT_DOTFILE_PATH=os.path.join(home, "data"), VAGRANT_CHECKPOINT_DISABLE="1")


def test_machines():
    """a collector and as many nodes as were asked for, each with the address that it has for all, in a network without a way out"""
    said = read(BOP_NODES="3", BOP_MEMORY="2048", BOP_CPUS="2", BOP_DRIVER="qemu", BOP_ISOLATED="1", BOP_BUILD="source").json()
    equal(list(said["defined"]), ["collector", "node1", "node2", "node3"], "machines")
    pairs = ["collector=10.77.2.10", "node1=10.77.2.11", "node2=10.77.2.12", "node3=10.77.2.13"]
    for name, machine in said["defined"].items():
        role = "node" if name.startswith("node") else name
        address = dict(pair.split("=") for pair in pairs)[name]
        equal(machine["hostname"], name, "host name")
        equal([p["args"] for p in machine["provisioners"]], [[role, name, address, *pairs]], f"arguments of provision.sh on {name}")
        equal(machine["provisioners"][0]["env"], {"BOP_BUILD": "source"}, "variables of provision.sh")
        [network] = machine["networks"]
        equal((network["kind"], network["ip"], network["libvirt__forward_mode"], network["libvirt__dhcp_enabled"]), ("private_network", address, "none", False), name)
        true(network["virtualbox__intnet"], "VirtualBox would make it a network with its host")
    equal(said["providers"]["libvirt"], {"driver": "qemu", "memory": 2048, "cpus": 2, "graphics_type": "none", "management_network_mode": "none",
          "management_network_name": "box-of-pain-isolated", "management_network_address": "10.77.3.0/24"}, "libvirt")
    equal(said["providers"]["virtualbox"], {"memory": 2048, "cpus": 2, "linked_clone": True}, "VirtualBox")
    said = read().json()
    equal((said["box"], len(said["defined"])), ("debian/bookworm64", 3), "without settings")
    equal([said["providers"]["libvirt"][f"management_network_{name}"] for name in ("mode", "name", "address")], [None] * 3, "nodes have no way out, and nobody asked for that")
    equal(read(BOP_BOX="local/debian12").json()["box"], "local/debian12", "BOP_BOX")
    equal(read(BOP_DRIVER="kvm").json()["providers"]["libvirt"]["driver"], "kvm", "BOP_DRIVER")


def test_driver():
    """without BOP_DRIVER the driver is kvm only if the processor and /dev/kvm allow it"""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        able = re.search(r"^flags\s*:.*\b(vmx|svm)\b", f.read(), re.M) and os.access("/dev/kvm", os.W_OK)
    equal(read().json()["providers"]["libvirt"]["driver"], "kvm" if able else "qemu", "driver")


def test_settings():
    """a setting that is none is one line that says what it may be, and ends everything"""
    for name, texts in {"BOP_NODES": ("0", "101", "two", "-1", "2 ", "1\n2", "0x2", "99999999999"), "BOP_MEMORY": ("511", "1G"), "BOP_CPUS": ("0", "1.5"),
                        "BOP_DRIVER": ("KVM", "kvm2"), "BOP_ISOLATED": ("yes", "2"), "BOP_BUILD": ("deb",)}.items():
        for text in texts:
            complains(read(status=1, **{name: text}), f"vagrant/Vagrantfile: {name}=", "give ")
    for name in SETTINGS:
        read(**{name: ""})


def test_refused():
    """settings that do not go together are refused before a machine is made"""
    me = StandIn("node1", checkout(SCRIPT, sources()))
    with me, Vagrant() as vagrant:
        for settings, words in (({"BOP_ISOLATED": "1", "PROVIDER": "virtualbox"}, "libvirt alone"), ({"BOP_ISOLATED": "1"}, None),
                                ({"PROVIDER": "virtualbox"}, None)):
            vagrant.now(settings, node1=me)
            failed = vagrant.ask("before", "up", "node1")["failed"]
            true(failed is None if words is None else failed and words in failed, f"{settings}: {failed}")
            equal(vagrant.ask("before", "destroy", "node1")["failed"], None, f"destroy with {settings}")


def synced(folder):
    """What the synced folder has of this one."""
    [said] = [one for one in read().json()["folders"] if not one["disabled"]]
    target = scratch()
    excludes = [word for text in [".vagrant/", *said["exclude"]] for word in ("--exclude", text)]  # as Vagrant gives them
    command("rsync", *said["args"], *excludes, folder + "/", target)
    return sorted(os.path.relpath(os.path.join(at, name), target) for at, _, names in os.walk(target) for name in names)


def test_synced():
    """the synced folder is the checkout with its packages, without all else that is built, kept or of Vagrant"""
    if not shutil.which("rsync"):
        raise Skip("there is no rsync")
    folder = scratch()
    wanted = ["Makefile", "bpf/a.c", "build/deb/bop_0.1.0_amd64.deb", "docs/build/x.md", "vagrant/provision.sh"]
    for name in [*wanted, ".git/HEAD", "build/bop", "build/obj/a.o", "build/deb/bop-dbgsym_0.1.0_amd64.deb", "build/deb/build.log", "build/deb/tmp/x.deb",
                 "runs.db", "vagrant/.vagrant/machines/x", "vagrant/a.box"]:
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="ascii"):
            pass
    equal(synced(folder), wanted, "synced")


def test_packages():
    """a machine installs the packages of the checkout, once; again when they are others, and starts its service again then; nothing changes otherwise"""
    folder = checkout(SCRIPT, sources(), PACKAGES)
    with StandIn("collector", folder) as machine:
        words = words_of("collector")
        first = machine.provision(*words)
        log = machine.log()
        [install] = [line for line in log if line.startswith("apt-get")]
        for name in PACKAGES:
            true(f"/{name}_0.1.0_amd64.deb" in install, f"{name} was not installed: {log}")
        equal(log[1:], ["systemctl daemon-reload ", "systemctl reenable bop-serve", "systemctl restart bop-serve"], "orders")
        true("made a key" in first.out, first)
        equal(machine.read("/etc/default/bop-serve"), 'BOP_SERVE_OPTIONS="--listen tcp://10.77.2.10:7100"\n', "settings")
        equal(machine.run("stat", "-c", "%a", "/etc/bop/keys", "/etc/bop/keys/server.secret", "/etc/bop/keys/server.public", "/etc/default/bop-serve").out.split(),
              ["700", "600", "644", "644"], "modes")
        equal(machine.read("/etc/hosts"), "127.0.0.1\tlocalhost\n127.0.1.1 other\n# box-of-pain begin\n10.77.2.10 collector\n10.77.2.11 node1\n10.77.2.12 node2\n# box-of-pain end\n", "hosts")
        before = machine.state()
        again = machine.provision(*words)
        equal((again.out, again.err, machine.log()), ("", "", []), "the second time")
        same(machine.state(), before, "what the second time")
        package(folder, "bop", "two")
        machine.provision(*words)
        equal([line.split()[0:2] for line in machine.log()], [["apt-get", "install"], ["systemctl", "daemon-reload"], ["systemctl", "reenable"], ["systemctl", "restart"]], "other packages")


def test_source():
    """a machine builds the checkout if it has no packages, or they are older; once, and again when something in it changes; packages and sources take turns"""
    folder = checkout(SCRIPT, sources())
    with StandIn("node1", folder) as machine:
        words = words_of("node1")
        machine.provision(*words)
        built = ["apt-get install -y -q --no-install-recommends make", "make deps", "make all", "make install"]
        equal(machine.log(), built, "orders; the agent has no server yet")
        before = machine.state()
        equal((machine.provision(*words).out, machine.log()), ("", []), "the second time")
        same(machine.state(), before, "what the second time")
        with open(os.path.join(folder, "tfj/file"), "a", encoding="ascii") as f:
            f.write("more\n")
        machine.provision(*words)
        equal(machine.log(), built[1:], "a source changed")
        for name in PACKAGES:
            package(folder, name)
        os.utime(os.path.join(folder, "build/deb/bop_0.1.0_amd64.deb"), (1000000000, 1000000000))
        result = machine.provision(*words)
        equal((machine.log(), "older than the sources" in result.err), ([], True), "packages that are older")
        machine.provision(*words, BOP_BUILD="packages")
        log = machine.log()
        equal((log[0], log[1].split()[:2]), ("make uninstall", ["apt-get", "install"]), "packages")
        machine.provision(*words, BOP_BUILD="source")
        equal(machine.log(), [f"dpkg --remove --force-depends {name}" for name in PACKAGES] + built[1:], "and back")


def test_trouble():
    """what provision.sh cannot do is one line, and says on which machine"""
    folder = checkout(SCRIPT, sources())
    with StandIn("node1", folder) as machine:
        words = words_of("node1")
        complains(machine.provision(*words, status=1, BOP_BUILD="packages"), "no bop package", "make deb", "BOP_BUILD=source")
        complains(machine.provision("nodes", status=1), "'nodes'")
        complains(machine.provision(status=1), "collector, node")
        complains(machine.provision("node", "node1", status=1), "an address")
        complains(machine.provision(*words, status=1, BOP_CHECKOUT="/nowhere"), "/nowhere")
        machine.put("/var/record/offline", "")
        result = machine.provision(*words, status=1)
        true("node1" in result.err and "vagrant/box" in result.err and "Unable to locate" in result.err, result)
        true("made a key" not in result.out, "it went on")
        equal(machine.run("ls", "/etc/bop", status=2).out, "", "left")


def meet(machines, *names):
    """The collector and these nodes know each other, by the public keys that they have now, and have no other's secret."""
    collector = machines["collector"]
    listed = dict(line.split() for line in collector.read("/etc/bop/keys/allowed").splitlines() if not line.startswith("#"))
    for number, name in enumerate(names, 1):
        node = machines[name]
        equal(listed[name], node.read(f"/etc/bop/keys/{name}.public").strip(), f"{name}'s key on the collector")
        equal(node.read("/etc/bop/keys/server.public"), collector.read("/etc/bop/keys/server.public"), f"the collector's key on {name}")
        equal(node.read("/etc/default/tfj"), 'TFJ_OPTIONS="--collector tcp://10.77.2.10:7100 --server-key /etc/bop/keys/server.public '
              f'--key /etc/bop/keys/{name}.secret --box {name}=host@10.77.2.{10 + number}"\n', "settings")
        node.run("systemctl", "is-active", "tfj")
    for name in ("collector", *names):
        secrets = machines[name].run("find", "/etc", "/var", "/vagrant", "-name", "*.secret").out.split()
        equal(secrets, [f"/etc/bop/keys/{'server' if name == 'collector' else name}.secret"], f"secrets on {name}")


def test_keys():
    """machines that come in any order, late, or are made again know each other's public keys in the end, and secrets stay where they are"""
    folder = checkout(SCRIPT, sources(), PACKAGES)
    names = ["collector", "node1", "node2", "node3"]
    words = {name: words_of(name, 3) for name in names}
    machines = {name: StandIn(name, folder) for name in names}

    def up(name, action="up"):
        machines[name].provision(*words[name])
        return vagrant.do(action, name)

    try:
        with Vagrant(**machines) as vagrant:
            true(any("waits for the collector" in line for line in up("node1")), "nothing was said about the collector")
            machines["node1"].run("systemctl", "is-active", "tfj", status=3)
            up("collector")
            meet(machines, "node1")
            up("node2")
            meet(machines, "node1", "node2")
            before = {name: (machines[name].log(), machines[name].state()) for name in names[:3]}
            for name, (_, state) in before.items():
                equal(up(name, "provision"), [], f"said the second time by {name}")
                equal(machines[name].log(), [], f"asked of {name} the second time")
                same(machines[name].state(), state, f"what the second time on {name}")
            vagrant.now({"BOP_NODES": "3"}, **machines)
            up("node3")
            meet(machines, "node1", "node2", "node3")
            vagrant.now({"BOP_NODES": "2"}, **machines)
            equal(up("collector"), [], "said of a node that Vagrant is not told of")
            machines["collector"].put("/var/record/away", "node2\n")
            said = up("collector", "reload")
            true(len(said) == 1 and "no agent of node2 has connected" in said[0], f"a node whose agent does not come: {said}")
            machines["collector"].run("rm", "/var/record/away")
            for name in ("node1", "collector"):
                old = machines[name].run("/bin/sh", "-c", "cat /etc/bop/keys/*.secret").out
                vagrant.do("halt", name)
                machines[name].end()
                machines[name] = StandIn(name, folder)
                vagrant.now({"BOP_NODES": "3"}, **machines)
                other = "node2" if name == "collector" else "collector"
                vagrant.do("up", other)  # as if both were at it at once: the new one has nothing yet
                up(name)
                true(old != machines[name].run("/bin/sh", "-c", "cat /etc/bop/keys/*.secret").out, f"{name} has its old key")
                meet(machines, "node1", "node2", "node3")
    finally:
        for machine in machines.values():
            machine.end()


def test_experiment():
    """the experiment's programs are installed where it looks for them, and its boxes are those of two nodes"""
    with open(os.path.join(FOLDER, "experiment.yaml"), encoding="utf-8") as f:
        text = f.read()
    with open(os.path.join(ROOT, "debian/bop-examples.install"), encoding="utf-8") as f:
        packaged = f.read().strip()
    equal(re.search(r"^path: \[(.*)\]$", text, re.M)[1], f"/usr/local/lib/bop/examples, /{packaged}", "path")
    equal(re.search(r"^boxes: \[(.*)\]$", text, re.M)[1], "node1, node2", "boxes")
    text = re.sub(r"^path: .*$", f"path: [{os.path.join(os.path.dirname(BOP), 'examples/quorum')}]", text, flags=re.M)
    short = experiment(re.sub(r"^timeout: .*$", "timeout: 1s", text, flags=re.M))
    folder = scratch()
    run = command(BOP, "run", experiment(text), "--json", "--store", os.path.join(folder, "runs.db")).json()
    equal((run["outcome"], run["lost"], run["holes"]), ("good", 0, 0), "the experiment on boxes of this machine")
    cut = command(BOP, "run", short, "--json", "--store", os.path.join(folder, "runs.db"), "--fault", "cut client>node2:7000#1/2", status=2).json()
    equal(cut["outcome"], "timeout", "with a cut")


# In the place of vagrant, ssh and sudo: the collector is this machine.
COMMANDS = {
    "vagrant": '[ "$1" = ssh-config ] && echo "Host collector"',
    "ssh": """while :; do case $1 in -O) exit 0 ;; -F | -o) shift 2 ;; -*) shift ;; *) break ;; esac; done
[ "$1" = collector ] || exit 255
shift
cat | bash -c "$*"
exit ${PIPESTATUS[1]}""",
    "sudo": 'exec "$@"',
}


def test_run_there():
    """vagrant/run runs the experiment where the collector is, ends with bop's exit status, and brings the picture of the run that it made, if it made one"""
    folder, place = scratch(), scratch()
    for name, text in COMMANDS.items():
        with open(os.path.join(folder, name), "w", encoding="ascii") as f:
            f.write(f"#!/bin/bash\n{text}\n")
        os.chmod(os.path.join(folder, name), 0o755)
    path = experiment("experiment: e\nboxes: [a, b]\npath: [%s]\nprocesses:\n  - {name: s, box: a, run: [quorum-server, '7000'], ready: {listen: 7000}}\n"
                      "workload: {name: w, box: b, run: [quorum-client, w, '7000', '1', a]}\ntimeout: 20s\n"
                      % os.path.join(os.path.dirname(BOP), "examples/quorum"), "it's mine.yaml")
    before = set(glob.glob("/tmp/bop-experiment.*"))
    with Embedded() as server:
        env = environment(PATH=f"{folder}:{os.path.dirname(BOP)}:{os.environ['PATH']}", BOP_SERVER_DIR=server.folder)

        def run(*argv, status=0):
            done = command(os.path.join(FOLDER, "run"), path, *argv, cwd=place, env=env, status=status)
            made = os.listdir(place)
            for name in made:
                with open(os.path.join(place, name), encoding="utf-8") as f:
                    equal((name, f.read().rstrip()[-6:]), ("it's mine.svg", "</svg>"), "picture")
                os.unlink(os.path.join(place, name))
            return done, len(made)

        done, made = run()
        equal((done.out.splitlines()[0].split()[:4], made), (["run", "1", "e", "good"], 1), "the first run")
        true("the picture of run 1 is it's mine.svg" in done.err, done)
        left = command("bash", "-c", 'echo for whoever comes next | { "$0" "$1" >/dev/null; cat; }', os.path.join(FOLDER, "run"), path, cwd=place, env=env)
        equal(left.out, "for whoever comes next\n", "what was left on stdin")
        done, made = run("--fault", "reset w<a:7000#1/1", status=1)
        true("picture of run 3 " in done.err and made == 1, done)
        done, made = run("--fault", "reset nothing", status=3)
        equal((len(done.err.splitlines()), made), (1, 0), f"a run that there was not: {done}")
        done, made = run("--json", "--runs", "2")
        true("picture of run 5 " in done.err and made == 1, done)
    equal(set(glob.glob("/tmp/bop-experiment.*")), before, "folders left with the collector")


def test_run():
    """vagrant/run says in one line what is missing"""
    run = os.path.join(FOLDER, "run")
    true("usage: vagrant/run [FILE] [OPTION]..." in command(run, "--help").out, "it does not explain itself")
    one_line(command(run, "/nowhere.yaml", status=3), "'/nowhere.yaml'")
    if not shutil.which("vagrant"):
        raise Skip("there is no vagrant to ask for a collector")
    one_line(command(run, status=3, env=vagrant_environment(), cwd=scratch()), "vagrant up")


sys.exit(run_tests(test_scripts, test_validate, test_machines, test_driver, test_settings, test_refused, test_synced, test_packages, test_source, test_trouble, test_keys,
                   test_experiment, test_run_there, test_run))
