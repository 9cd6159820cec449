# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that stand in for guests of Vagrant, for what vagrant/provision.sh does in them.

Each is a process in namespaces of its own (mounts, host name) with this machine's /usr and nothing else of it; it takes
everything with it when it ends. systemctl, dpkg and apt-get are scripts there that keep a record. bop and tfj are those of this build, but all agents
that bop lets in are said to be connected, without those in the record `away`.
"""
import os
import shutil
import subprocess

from harness import BOP, TFJ, command, scratch, true

RECORD = "/var/record"

# $1: a folder to make the root in, $2: what it finds as its checkout, $3: its name
MAKE = r"""
mount --make-rprivate /
mount -t tmpfs tmpfs "$1" && cd "$1"
mkdir dev etc proc run tmp usr var vagrant var/local var/record var/record/packages var/record/units
chmod 1777 tmp
for name in bin sbin lib lib64; do [ ! -L /$name ] || cp -P /$name .; done
for name in passwd group nsswitch.conf ld.so.cache alternatives; do [ ! -e /etc/$name ] || cp -a /etc/$name etc; done
printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s other %s\n127.0.2.1 %s\n' "$3" "$3" "$3" >etc/hosts
mount --rbind /usr usr && mount --rbind /dev dev && mount -t proc proc proc && mount --bind "$2" vagrant
mount -t tmpfs tmpfs usr/local && mkdir usr/local/sbin usr/local/bin
hostname "$3"
exec chroot . /bin/sh -c 'echo made; read -r line'
"""

COMMANDS = {
    "systemctl": r"""
now=
for word; do case $word in --now) now=yes ;; --quiet) exec >/dev/null ;; -*) ;; *) set -- "$@" "$word" ;; esac; shift; done
order=$1 unit=${2:-}; at=/var/record/units/$unit
case $order in is-*) ;; *) echo "systemctl $order $unit" >>/var/record/log ;; esac
case $order in
is-enabled) [ -e "$at.enabled" ] && echo enabled || { echo disabled; exit 1; } ;;
is-active) [ -e "$at.active" ] && echo active || { echo inactive; exit 3; } ;;
enable | reenable) touch "$at.enabled"; [ ! "$now" ] || touch "$at.active" ;;
start | restart) touch "$at.active" ;;
esac
""",
    "bop": r"""
[ "$1" = boxes ] || exec /usr/local/bin/bop "$@"
while read -r name key; do grep -qxsF "$name" /var/record/away || echo "$name idle"; done </etc/bop/keys/allowed
""",
    "sleep": "",
    "dpkg-query": r"""
for name; do :; done
[ -e "/var/record/packages/$name" ] && printf installed
""",
    "dpkg": r"""
echo "dpkg $*" >>/var/record/log
for name; do rm -f "/var/record/packages/$name"; done
""",
    "apt-get": r"""
echo "apt-get $*" >>/var/record/log
[ ! -e /var/record/offline ] || { echo "E: Unable to locate what was asked for" >&2; exit 100; }
[ "$1" = install ] || exit 0
for word; do case $word in
*.deb) name=${word##*/}; touch "/var/record/packages/${name%%_*}"; cp /vagrant/programs/* /usr/local/bin/ ;;
-* | install) ;;
*) touch "/var/record/packages/$word" ;;
esac; done
""",
}

# It says in the record what was asked of it.
MAKEFILE = """all deps install uninstall:
\t@echo make $@ >>/var/record/log
\t@case $@ in install) cp programs/* /usr/local/bin/;; uninstall) rm -f /usr/local/bin/bop /usr/local/bin/tfj;; esac
"""


def checkout(script, sources, packages=()):
    """A folder that has a checkout's outside. sources: folders and files to be there."""
    folder = scratch(0o755)
    os.makedirs(os.path.join(folder, "programs"))
    for path in (BOP, TFJ):
        shutil.copy(path, os.path.join(folder, "programs"))
    os.makedirs(os.path.join(folder, "vagrant"))
    shutil.copy(script, os.path.join(folder, "vagrant"))
    for name in sources:
        path = os.path.join(folder, name)
        if "." not in name and name not in ("Makefile", "LICENSE"):
            os.makedirs(path)
            path = os.path.join(path, "file")
        with open(path, "w", encoding="ascii") as f:
            f.write(MAKEFILE if name == "Makefile" else f"of {name}\n")
        os.utime(path, (1000000000, 1000000000))
    for name in packages:
        package(folder, name)
    return folder


def package(folder, name, text="one"):
    os.makedirs(os.path.join(folder, "build/deb"), exist_ok=True)
    with open(os.path.join(folder, "build/deb", f"{name}_0.1.0_amd64.deb"), "w", encoding="ascii") as f:
        f.write(text)


class StandIn:
    """One machine."""

    def __init__(self, name, folder):
        self.name = name
        self.process = subprocess.Popen(["unshare", "--mount", "--uts", "--fork", "--kill-child", "bash", "-eu", "-c", MAKE, "bash", scratch(), folder, name],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        true(self.process.stdout.readline() == b"made\n", f"no namespaces for {name}")
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            self.pid = f.read().split()[0]
        for command, text in COMMANDS.items():
            self.put(f"/usr/local/sbin/{command}", "#!/bin/sh\n" + text, "755")

    def run(self, *argv, status=0, **env):
        return command("nsenter", "--target", self.pid, "--mount", "--uts", "--root", "--wd", "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                       *(f"{name}={text}" for name, text in env.items()), *argv, status=status, timeout=60)

    def provision(self, *words, status=0, **env):
        return self.run("/vagrant/vagrant/provision.sh", *words, status=status, **env)

    def put(self, path, text, mode="644"):
        done = subprocess.run(["nsenter", "--target", self.pid, "--mount", "--root", "--wd", "/bin/sh", "-c", f"cd {RECORD} && cat >{path} && chmod {mode} {path}"],
                              input=text.encode(), check=False)
        true(done.returncode == 0, f"cannot write {path} of {self.name}")

    def read(self, path):
        return self.run("cat", path).out

    def log(self):
        """What was asked of systemctl, dpkg, apt-get and make since it was asked the last time."""
        lines = self.run("/bin/sh", "-c", f"touch {RECORD}/log; cat {RECORD}/log; rm {RECORD}/log").out
        return lines.splitlines()

    def state(self):
        """Every file that it has of its own: mode, size, times, content. But for what is written down anew each time."""
        return self.run("/bin/sh", "-c", r"""find /etc /var /usr/local -xdev -type f ! -path /var/record/log ! -path '/var/local/box-of-pain/*' >/tmp/list
            while read -r path; do stat -c '%n %a %s %y' "$path"; md5sum "$path"; done </tmp/list""").out

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


