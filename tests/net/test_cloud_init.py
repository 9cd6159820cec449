#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloud-init/, as far as that can be seen without a machine: the file, what cloud-init/make makes of it, and what its script does.

The script runs as root with folders of its own in place of /etc and /var/lib, and a systemctl that only writes down what it is told.
tests/soak/test_cloud_init.py boots a machine with it.
"""
import os
import re
import shutil
import sys

from harness import OUT, ROOT, Skip, bop, command, equal, run_tests, scratch, true

try:
    import yaml
except ImportError:
    yaml = None

FOLDER = os.path.join(ROOT, "cloud-init")
SERVER = "10.0.0.1:7100"
world = {}


def keys():
    """A folder with the pairs server, n1 and n2."""
    if "keys" not in world:
        world["keys"] = scratch()
        for name in ("server", "n1", "n2"):
            bop("keys", "--keys", world["keys"], "make", name)
    return world["keys"]


def refused(result, *words):
    """It ended with one line on stderr that has the words."""
    equal(len(result.err.splitlines()), 1, f"lines on stderr of {result}")
    for word in words:
        true(word in result.err, f"'{word}' is not in: {result.err}")


def key(file):
    with open(os.path.join(keys(), file), encoding="ascii") as f:
        return f.read().strip()


def make(*argv, status=0):
    return command(os.path.join(FOLDER, "make"), *argv, status=status)


def node(folder, *argv, status=0):
    return make("node", "--server", SERVER, "--server-key", f"{keys()}/server.public", *argv[:-1] if argv else (), folder,
                *(argv[-1] if argv else ()), status=status)


def files(folder, name="user-data"):
    """{path: (content, mode)} of what is to be written."""
    if not yaml:
        raise Skip("there is no python3-yaml")
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        text = f.read()
    true(text.startswith("#cloud-config\n"), "cloud-init would not know what it is")
    return {entry["path"]: (entry["content"], entry["permissions"]) for entry in yaml.safe_load(text)["write_files"]}


def settings(folder, name="user-data"):
    """{name: value}, as a shell reads them."""
    text = files(folder, name)["/etc/bop/cloud.conf"][0]
    names = re.findall(r"^([A-Z_]+)=", text, re.M)
    shown = command("sh", "-c", text + "".join(f'printf "%s\\0" "${name}"\n' for name in names)).out
    return dict(zip(names, shown.split("\0")))


def test_file():
    """the file is YAML, its scripts are shell, what is secret in it only root can read, and unfilled settings are refused"""
    found = files(FOLDER, "bop.yaml")
    with open(os.path.join(FOLDER, "bop.yaml"), encoding="utf-8") as f:
        equal(list(yaml.safe_load(f)), ["write_files"], "what it asks of cloud-init")
    equal({path: mode for path, (_, mode) in found.items()},
          {"/etc/bop/cloud.conf": "0600", "/usr/local/sbin/bop-cloud": "0755", "/var/lib/cloud/scripts/per-boot/bop-cloud": "0755"}, "modes")
    at = scratch()
    for number, (text, _) in enumerate(found.values()):
        with open(f"{at}/{number}", "w", encoding="utf-8") as f:
            f.write(text)
        command("sh", "-n", f"{at}/{number}")
    refused(command("sh", f"{at}/1", "check", f"{at}/0", status=1), "no address of a server")


def test_schema():
    """cloud-init's schema agrees"""
    if not shutil.which("cloud-init"):
        raise Skip("cloud-init is not installed, and to install it is to let it change this machine; make soak asks one in a guest")
    true("Valid" in command("cloud-init", "schema", "--config-file", os.path.join(FOLDER, "bop.yaml")).out, "it is not valid")


def test_make():
    """cloud-init/make fills the settings in, and changes nothing else; who else reads its files cannot"""
    at, package = scratch(), os.path.join(scratch(), "tfj_0.1.0_amd64.deb")
    with open(package, "w", encoding="ascii") as f:
        f.write("package")
    node(f"{at}/n1", "--name", "n1", "--box", "a=host", "--box", "b=container:x?", "--key", f"{keys()}/n1.secret", "--url", "http://mirror/bop", [package])
    equal(settings(f"{at}/n1"),
          {"ROLE": "node", "NAME": "n1", "BOX": "a=host b=container:x?", "SERVER": SERVER, "SERVER_KEY": key("server.public"),
           "SECRET": key("n1.secret"), "ALLOW": "", "URL": "http://mirror/bop",
           "PACKAGES": "\nbc4a71180870f7945155fbb02f4b0a2e3faa2a62d6d31b7039013055ed19869a tfj_0.1.0_amd64.deb"}, "settings")
    equal(list(settings(f"{at}/n1")), list(settings(FOLDER, "bop.yaml")), "names of settings")
    whole, made = files(FOLDER, "bop.yaml"), files(f"{at}/n1")
    del whole["/etc/bop/cloud.conf"], made["/etc/bop/cloud.conf"]
    equal(made, whole, "the other files")
    equal(sorted((name, os.stat(f"{at}/n1/{name}").st_mode & 0o777) for name in os.listdir(f"{at}/n1")), [("meta-data", 0o600), ("user-data", 0o600)], "files")
    make("server", "--allow", f"n1={keys()}/n1.public", "--allow", f"n2={key('n2.public')}", f"{at}/server")
    got = settings(f"{at}/server")
    equal((got["ROLE"], got["SERVER"], got["ALLOW"]), ("server", "0.0.0.0:7100", f"\nn1 {key('n1.public')}\nn2 {key('n2.public')}"), "settings")


def meta(folder):
    with open(f"{folder}/meta-data", encoding="ascii") as f:
        return dict(line.split(": ") for line in f.read().splitlines())


def test_meta():
    """the instance-id is the same for the same settings, another for others, or what is asked for; a node without a name keeps its own"""
    at = scratch()
    for name in ("one", "two"):
        node(f"{at}/{name}", "--name", "n1", [])
    node(f"{at}/three", "--name", "n1", "--box", "x=host", [])
    node(f"{at}/four", "--instance-id", "i-4", [])
    equal(meta(f"{at}/one"), meta(f"{at}/two"), "the same")
    true(meta(f"{at}/one")["instance-id"] != meta(f"{at}/three")["instance-id"], "another box, and the same instance-id")
    equal(meta(f"{at}/one")["local-hostname"], "n1", "host name")
    equal(meta(f"{at}/four"), {"instance-id": "i-4"}, "without a name")


def test_seed():
    """a seed has the label that cloud-init looks for, the files and the packages"""
    if not shutil.which("isoinfo"):
        raise Skip("there is no genisoimage")
    at = scratch()
    package = f"{at}/tfj_0.1.0+a~b-1_amd64.deb"
    for name in (package, f"{at}/network"):
        with open(name, "w", encoding="ascii") as f:
            f.write("something")
    node(f"{at}/n1", "--name", "n1", "--network", f"{at}/network", "--seed", f"{at}/seed", [package])
    true(re.search(r"^Volume id: CIDATA$", command("isoinfo", "-d", "-i", f"{at}/seed").out, re.M), "its label")
    equal(sorted(command("isoinfo", "-f", "-R", "-i", f"{at}/seed").out.split()),
          ["/meta-data", "/network-config", f"/{os.path.basename(package)}", "/user-data"], "files")
    with open(f"{at}/n1/user-data", encoding="utf-8") as f:
        equal(command("isoinfo", "-R", "-i", f"{at}/seed", "-x", "/user-data").out, f.read(), "user-data")


def test_refused():
    """what cannot be is refused with one line that says what it is, and nothing is written"""
    at = scratch()
    good = ("node", "--server", SERVER, "--server-key", f"{keys()}/server.public")
    with open(f"{at}/x_1_all.deb", "w", encoding="ascii") as f:
        f.write("x")
    for argv, words in (
            ((), ("say 'node' or 'server'",)),
            (good, ("folder",)),
            ((*good, "--box"), ("--box needs a value",)),
            ((*good, "--listen", SERVER, "DIR"), ("a node has no option --listen",)),
            (("server", "--box", "s1", "DIR"), ("a server has no option --box",)),
            (("node", "--server", "10.0.0.1", *good[3:], "DIR"), ("'10.0.0.1'", "10.0.0.1:7100")),
            (("node", "--server", "10.0.0.1:71000", *good[3:], "DIR"), ("'10.0.0.1:71000'",)),
            (("node", "--server", f"{SERVER}\n{SERVER}", *good[3:], "DIR"), ("the value of --server",)),
            ((*good[:3], "--server-key", "abc", "DIR"), ("'abc' is no public key", "bop keys make server")),
            ((*good[:3], "DIR"), ("'' is no public key",)),
            ((*good, "--name", "a_b", "DIR"), ("'a_b' cannot be the name",)),
            ((*good, "--name", "localhost", "DIR"), ("'localhost' cannot be the name",)),
            ((*good, "--name", "a'b", "DIR"), ("the value of --name",)),
            ((*good, "--box", "=host", "DIR"), ("'=host' is no box",)),
            ((*good, "--box", 'a="b"', "DIR"), ("is no box",)),
            ((*good, "--key", f"{at}/none", "DIR"), (f"there is no file {at}/none", "bop keys make")),
            ((*good, "--key", f"{keys()}/n1.public", "DIR"), ("n1.public is the public key",)),
            ((*good, "--key", "/dev/null", "DIR"), ("there is no file /dev/null",)),
            ((*good, "--instance-id", "a b", "DIR"), ("'a b' cannot be an instance-id",)),
            ((*good, "--network", f"{at}/none", "DIR"), (f"there is no file {at}/none",)),
            ((*good, "DIR", f"{at}/x_1_all.deb"), ("--seed FILE or --url URL",)),
            ((*good, "--url", "http://x", "DIR"), ("name the packages",)),
            ((*good, "--url", "ftp://x", "DIR", f"{at}/x_1_all.deb"), ("'ftp://x'", "https://")),
            ((*good, "--seed", "SEED", "DIR", f"{at}/y.deb"), (f"there is no package {at}/y.deb",)),
            ((*good, "--seed", "SEED", f"{at}/x_1_all.deb"), ("goes before the packages",)),
            ((*good, "--seed", "/dev/null/seed", "DIR"), ("/dev/null/seed",)),
            ((*good, "/dev/null/folder"), ("/dev/null/folder",)),
            (("server", "--allow", "n1", "DIR"), ("'n1 n1'",)),
            (("server", "--allow", f"n 1={key('n1.public')}", "DIR"), ("is no name of a node",)),
            (("server", "--listen", "7100", "DIR"), ("'7100'",))):
        argv = [word.replace("DIR", f"{at}/folder").replace("SEED", f"{at}/seed") for word in argv]
        refused(make(*argv, status=1), *words)
        equal(os.listdir(at), ["x_1_all.deb"], f"files after {argv}")


class Made:
    """A machine that is one in name only: own folders for /etc and /var/lib. Use it with `with`."""

    def __init__(self, folder):
        self.at = scratch(0o755)
        for name in ("bin", "lib/cloud/data"):
            os.makedirs(f"{self.at}/{name}")
        shutil.copytree("/etc", f"{self.at}/etc", symlinks=True, ignore_dangling_symlinks=True)
        shutil.rmtree(f"{self.at}/etc/bop", ignore_errors=True)
        self.write("bin/systemctl", f'#!/bin/sh\necho "$*" >>{self.at}/told\n', 0o755)
        for name in ("bop", "tfj"):
            os.symlink(os.path.join(OUT, name), f"{self.at}/bin/{name}")
        for path, (text, mode) in files(folder).items():
            if path == "/etc/bop/cloud.conf":
                self.write("etc/bop/cloud.conf", text, int(mode, 8))
            elif path.startswith("/usr"):
                self.write("bin/bop-cloud", text, int(mode, 8))
        self.instance("one")

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(f"{self.at}/{path}"), exist_ok=True)
        with open(f"{self.at}/{path}", "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(f"{self.at}/{path}", mode)

    def read(self, path):
        with open(f"{self.at}/{path}", encoding="utf-8") as f:
            return f.read().strip()

    def instance(self, name):
        self.write("lib/cloud/data/instance-id", f"{name}\n")

    def run(self, *argv, status=0):
        """(what the script printed, what it told systemctl)"""
        self.write("told", "")
        done = command("unshare", "--mount", "--propagation", "private", "sh", "-c",
                       'mount --bind "$1/etc" /etc && mount --bind "$1/lib" /var/lib && PATH="$1/bin:$PATH" && shift && exec bop-cloud "$@"',
                       "sh", self.at, *argv, status=status)
        return done, self.read("told").splitlines()


def test_script_node():
    """the script makes a key, says it, and writes the agent's options; again it changes nothing; on a copy it makes another key"""
    at = scratch()
    node(f"{at}/n1", "--name", "n1", [])
    made = Made(f"{at}/n1")
    equal(made.run("same", status=1)[0].out, "", "what it says before")
    done, told = made.run()
    own = made.read("etc/bop/keys/node.public")
    true(f"this is the node n1; on the server: bop keys allow n1 '{own}'" in done.out, done)
    equal(told, ["daemon-reload", "enable tfj", "restart tfj"], "what systemctl is told")
    equal(made.read("etc/default/tfj"), f'TFJ_OPTIONS="--collector tcp://{SERVER} --server-key /etc/bop/keys/of-server.public '
          '--key /etc/bop/keys/node.secret --box n1=host"', "options")
    equal(made.read("etc/bop/keys/of-server.public"), key("server.public"), "the server's key")
    equal([os.stat(f"{made.at}/etc/bop/{name}").st_mode & 0o777 for name in ("keys", "keys/node.secret")], [0o700, 0o600], "modes of the folder and the secret")
    equal(made.run()[1], ["daemon-reload", "enable tfj", "start tfj"], "what systemctl is told again")
    made.run("same")
    equal(made.read("etc/bop/keys/node.public"), own, "the key again")
    made.instance("two")
    made.run("same", status=1)
    equal(made.run()[1][-1], "restart tfj", "what systemctl is told on a copy")
    true(made.read("etc/bop/keys/node.public") != own, "the copy has the same key")
    made.run("same")


def test_script_given():
    """a key made beforehand is the one that it uses, on copies too"""
    at = scratch()
    node(f"{at}/n1", "--name", "n1", "--key", f"{keys()}/n1.secret", [])
    made = Made(f"{at}/n1")
    for instance in ("one", "two"):
        made.instance(instance)
        true(f"bop keys allow n1 '{key('n1.public')}'" in made.run()[0].out, "it has another key")
        equal((made.read("etc/bop/keys/node.secret"), os.stat(f"{made.at}/etc/bop/keys/node.secret").st_mode & 0o777), (key("n1.secret"), 0o600), "the secret")


def test_script_server():
    """a server's script lets its nodes in, once, and says the server's key"""
    at = scratch()
    make("server", "--listen", "10.0.0.1:7200", "--allow", f"n1={keys()}/n1.public", f"{at}/server")
    made = Made(f"{at}/server")
    done, told = made.run()
    true(f"--server-key '{made.read('etc/bop/keys/server.public')}'" in done.out, done)
    equal(told, ["daemon-reload", "enable bop-serve", "restart bop-serve"], "what systemctl is told")
    equal(made.read("etc/default/bop-serve"), 'BOP_SERVE_OPTIONS="--listen tcp://10.0.0.1:7200"', "options")
    equal(made.read("etc/bop/keys/allowed"), f"n1 {key('n1.public')}", "who is let in")
    equal(made.run()[1][-1], "start bop-serve", "what systemctl is told again")
    bop("keys", "--keys", f"{made.at}/etc/bop/keys", "remove", "n1")
    made.run()
    equal(made.read("etc/bop/keys/allowed"), "", "who is let in after n1 was removed")


def test_script_broken():
    """a script that cannot go on says why, and starts nothing"""
    at = scratch()
    node(f"{at}/n1", "--name", "n1", [])
    made = Made(f"{at}/n1")
    made.write("etc/bop/cloud.conf", made.read("etc/bop/cloud.conf").replace(SERVER, "nowhere"), 0o600)
    done, told = made.run(status=1)
    refused(done, "bop-cloud", "'nowhere' is no address of a server")
    equal((told, os.path.exists(f"{made.at}/etc/bop/keys")), ([], False), "what it did")


if __name__ == "__main__":
    sys.exit(run_tests(test_file, test_schema, test_make, test_meta, test_seed, test_refused, test_script_node, test_script_given,
                       test_script_server, test_script_broken))
