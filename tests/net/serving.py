# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of `bop serve`, and of what was there before a run, share: a server, agents, and namespaces that are joined by a
bridge; a run in those that goes on until it is told."""
import json
import os
import signal
import socket
import subprocess
import sys

from harness import BOP, TFJ, Running, bop, equal, experiment, kill_quietly, scratch, show, store, true, wait_for


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server in a directory of its own, with its store; over TCP as well if tcp. Use it with `with`."""

    def __init__(self, tcp=False, directory=None, api_tcp=False):
        self.directory = directory or scratch()
        self.folder, self.keys = os.path.join(self.directory, "sockets"), os.path.join(self.directory, "keys")
        self.store = os.path.join(self.directory, "runs.db")
        self.api, self.agents_url = f"ipc://{self.folder}/api", f"ipc://{self.folder}/agents"
        self.agents, self.running, self.argv = [], None, ()
        self.port = free_port() if tcp else None
        self.address, self.within = "127.0.0.1", ()  # where it listens, and what to put before its command
        self.api_port = free_port() if api_tcp else None
        if (tcp or api_tcp) and not os.path.exists(self.keys):
            self.key = bop("keys", "--keys", self.keys, "make", "server").out.strip()

    def start(self):
        argv = ["serve", "--dir", self.folder, "--store", self.store, "--keys", self.keys, *self.argv]
        if self.port:
            argv += ["--listen", f"tcp://{self.address}:{self.port}"]
        if self.api_port:
            argv += ["--listen-api", f"tcp://127.0.0.1:{self.api_port}"]
        self.running = Running(*self.within, BOP, *argv)
        wait_for("the server", lambda: self.running.process.poll() is not None or self.answers())
        if self.running.process.poll() is not None:
            raise AssertionError(f"the server did not start: {self.running.result()}")
        return self

    def answers(self):
        return bop("boxes", "--server", self.api, status=None).status == 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        for agent in self.agents:
            kill_quietly(agent.pid, signal.SIGTERM)
        for agent in self.agents:
            agent.end()
        if self.running:
            kill_quietly(self.running.pid, signal.SIGTERM)
            true("Sanitizer" not in self.running.end().err, f"the server's memory: {self.running.result()}")

    def log(self):
        return self.running.result().err

    def boxes(self):
        return json.loads(bop("boxes", "--server", self.api, "--json").out)

    def agent(self, *boxes, url=None, argv=(), wait=True):
        """Starts an agent, over the private socket unless url says otherwise, and waits until it is there."""
        before = len(self.boxes()["agents"])
        named = [word for box in boxes for word in ("--box", box)]
        agent = Running(TFJ, "--collector", url or self.agents_url, *argv, *named)
        self.agents.append(agent)
        if wait:
            wait_for("the agent", lambda: agent.process.poll() is not None or len(self.boxes()["agents"]) > before)
            if agent.process.poll() is not None:
                raise AssertionError(f"the agent ended: {agent.result()}\n{self.log()}")
        return agent

    def allow(self, name):
        """Makes a pair and lets it in; returns the arguments of its agent."""
        bop("keys", "--keys", self.keys, "make", name)
        bop("keys", "--keys", self.keys, "allow", name, f"{self.keys}/{name}.public")
        return self.key_arguments(f"{self.keys}/{name}.secret")

    def key_arguments(self, secret, server_key=None):
        return ["--server-key", server_key or self.key, "--key", secret]

    @property
    def tcp_url(self):
        return f"tcp://{self.address}:{self.port}"

    def run(self, path, *argv, **kwargs):
        return bop("run", path, f"--server={self.api}", *argv, **kwargs)


class Embedded(Server):
    """`bop serve --agent`, once its agent is there."""

    def start(self):
        self.argv = ("--agent",)
        super().start()
        wait_for("its agent", lambda: self.running.process.poll() is not None or self.boxes()["agents"])
        return self


def gated():
    """An experiment whose workload waits, and the two files that say that it does and let it go on."""
    folder = scratch(0o777)
    up, gate = os.path.join(folder, "up"), os.path.join(folder, "gate")
    os.mkfifo(gate)
    path = experiment("experiment: gated\nboxes: [a]\ngrace: 300ms\nworkload: {name: w, box: a, "
                      f"run: [sh, -c, ': >{up}; read x <{gate}']}}\ntimeout: 5m\n")
    return path, up, gate


def go(gate):
    with open(gate, "w", encoding="ascii") as f:
        f.write("go\n")


class Namespaces:
    """Named namespaces with an address each, joined by a bridge in one of their own."""

    def __init__(self, *names):
        self.names = {name: f"bopnet{os.getpid()}{name}" for name in names}
        self.hub = f"bopnet{os.getpid()}hub"

    def __enter__(self):
        try:
            return self.make()
        except BaseException:
            self.__exit__()
            raise

    def make(self):
        for name in [self.hub, *self.names.values()]:
            self.ip("netns", "add", name)
        self.ip("-n", self.hub, "link", "add", "name", "br0", "type", "bridge")
        self.ip("-n", self.hub, "link", "set", "br0", "up")
        for i, name in enumerate(self.names.values(), 1):
            self.ip("-n", self.hub, "link", "add", "name", f"p{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
            self.ip("-n", self.hub, "link", "set", f"p{i}", "master", "br0", "up")
            self.ip("-n", name, "addr", "add", f"10.91.0.{i}/24", "dev", "eth0")
            self.ip("-n", name, "link", "set", "lo", "up")
            self.ip("-n", name, "link", "set", "eth0", "up")
        return self

    @staticmethod
    def ip(*argv):
        subprocess.run(["ip", *argv], check=True, capture_output=True, timeout=30)

    def box(self, name):
        """For --box."""
        return f"{name}={self.names[name]}"

    def __exit__(self, *_):
        for name in [*self.names.values(), self.hub]:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=30)


def reaches(spaces, source, address):
    """Does a stranger's new connection between the two namespaces work, within a second?"""
    script = ("import socket, sys; a = socket.create_connection((sys.argv[1], 9999), 1); a.settimeout(1); "
              "sys.exit(a.recv(1) != b'x')")
    done = subprocess.run(["ip", "netns", "exec", spaces.names[source], sys.executable, "-c", script, address], check=False,
                          capture_output=True, timeout=30)
    return done.returncode == 0


def stranger(spaces, name):
    """Somebody who was there before, and answers."""
    script = ("import socket; s = socket.create_server(('0.0.0.0', 9999))\n"
              "while True: s.accept()[0].send(b'x')")
    return subprocess.Popen(["ip", "netns", "exec", spaces.names[name], sys.executable, "-c", script])


class Run:
    """A run of two boxes, s and c, that goes on until end(). processes: lines of the file."""

    def __init__(self, spaces, *processes, server=None, argv=()):
        self.folder, self.at = scratch(0o755), server.store if server else store()
        self.up, self.gate = os.path.join(self.folder, "up"), os.path.join(self.folder, "gate")
        os.mkfifo(self.gate)
        boxes = "s, c" if server else ", ".join(f"{{name: {name}, netns: {spaces.names[name]}}}" for name in "sc")
        self.path = experiment("experiment: older\nboxes: [%s]\nprocesses:\n%s" % (
            boxes, "".join(f"  - {process}\n" for process in processes)) +
            f"workload: {{name: w, box: c, run: [sh, -c, ': >{self.up}; read x <{self.gate}']}}\ntimeout: 50s\n")
        where = f"--server={server.api}" if server else f"--store={self.at}"
        self.running = Running(BOP, "run", self.path, where, *argv)

    def __enter__(self):
        wait_for("the workload", lambda: os.path.exists(self.up) or self.running.process.poll() is not None)
        if self.running.process.poll() is not None:
            raise AssertionError(f"the run ended: {self.running.result()}")
        return self

    def __exit__(self, *_):
        if self.running.process.poll() is None:
            self.running.signal(signal.SIGTERM)
            self.running.end()

    def end(self):
        """Lets the workload end; returns what is shown of the run."""
        with open(self.gate, "w", encoding="ascii") as f:
            f.write("go\n")
        result = self.running.end()
        equal(result.status, 0, f"exit status of {result}")
        return show("last", self.at)
