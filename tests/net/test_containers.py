#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers: told apart by their cgroups and namespaces, with names from their runtimes' files."""
import json
import os
import shutil
import sys

from containers import Asleep, Container, image
from harness import (BOP, TFJ, Running, bop, bytes_match, command, equal, experiment, leftovers, nothing_left, one_line, run_tests, scratch,
                     show, store, true, wait_for)
from serving import Namespaces, Server

ID = "4c01db0b339c" * 5 + "4c01"
UID = "8dbc6577-d0e2-4706-8787-57d52c03ddf2"
UID_ = UID.replace("-", "_")


def listed(root=""):
    result = command(TFJ, "containers", "--json", env={**os.environ, "BOP_CONTAINERS_ROOT": root})
    return {row["id"]: row for row in result.json()["containers"]}


def written(root, path, content):
    """A file of a runtime's, as its text or as JSON."""
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(content if isinstance(content, str) else json.dumps(content))


CRI = {"annotations": {"io.kubernetes.cri.container-name": "redis", "io.kubernetes.cri.sandbox-name": "redis-0",
                       "io.kubernetes.cri.sandbox-namespace": "shop"}}
CRIO = {"annotations": {"io.kubernetes.container.name": "redis", "io.kubernetes.pod.name": "redis-0", "io.kubernetes.pod.namespace": "shop"}}
BUNDLE = f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json"
# cgroup; file of the runtime and what it holds; (runtime, name, namespace, pod, pod_uid)
LAYOUTS = [
    (f"/docker/{ID}", f"var/lib/docker/containers/{ID}/config.v2.json", {"ID": ID, "Name": "/redis"}, ("docker", "redis", "", "", "")),
    (f"/machine.slice/libpod-{ID}.scope/container", "var/lib/containers/storage/overlay-containers/containers.json",
     [{"id": "0" * 64, "names": ["other"]}, {"id": ID, "names": ["redis"]}], ("podman", "redis", "", "", "")),
    (f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/cri-containerd-{ID}.scope", BUNDLE, CRI,
     ("containerd", "redis", "shop", "redis-0", UID)),
    (f"/kubepods/besteffort/pod{UID}/{ID}", BUNDLE, CRI, ("containerd", "redis", "shop", "redis-0", UID)),
    (f"/kubepods/pod{UID}/{ID}", f"run/containers/storage/overlay-containers/{ID}/userdata/config.json", CRIO,
     ("cri-o", "redis", "shop", "redis-0", UID)),
    (f"/kubepods/pod{UID}/{ID}", "run/nothing", "", ("cri", "", "", "", UID)),
    (f"/default/{ID}", f"run/containerd/io.containerd.runtime.v2.task/default/{ID}/config.json",
     {"annotations": {"nerdctl/name": "redis"}}, ("containerd", "redis", "", "", "")),
]


def test_layouts():
    """a process in a cgroup like that of docker, podman, containerd, CRI-O or Kubernetes is in that container, whose name the files tell"""
    before = leftovers()
    for cgroup, path, content, wanted in LAYOUTS:
        root = scratch(0o755)
        written(root, path, content)
        with Asleep(cgroup) as asleep:
            rows = listed(root)
            true(ID in rows, f"{cgroup} is not in {list(rows)}")
            row = rows[ID]
            equal(tuple(row[key] for key in ("runtime", "name", "namespace", "pod", "pod_uid")), wanted, cgroup)
            equal((row["pids"], row["first"]), ([asleep.pid], asleep.pid), "its processes")
            equal(row["netns"], os.stat(f"/proc/{asleep.pid}/ns/net").st_ino, "its network namespace")
        true(ID not in listed(root), "a container without a process is listed")
    nothing_left(before)


def test_hostile():
    """files that are none, are too large, no JSON, or hold no names, tell nothing, and nothing worse happens"""
    path, deep = f"var/lib/docker/containers/{ID}/config.v2.json", "[" * 100000
    with Asleep(f"/docker/{ID}"):
        for content in ("", "{", deep, '{"Name": 7}', '{"Name": ""}', '{"Name": "/a\\u001b[2J"}', '{"Name": "/a\\" b"}', '{"Name": "/-x"}',
                        json.dumps({"Name": "/" + "a" * 254}), '{"Name": "/a", "Name2": "\\u0000', '"' + "a" * (9 << 20) + '"',
                        '{"Name": "/a\\u0000b"}', '{"Config": {"Labels": []}, "Name": []}'):
            root = scratch(0o755)
            written(root, path, content)
            equal(listed(root)[ID]["name"], "", f"the name in {content[:40]}")
        root = scratch(0o755)
        written(root, "secret.json", '{"Name": "/secret"}')
        os.makedirs(os.path.dirname(os.path.join(root, path)))
        os.symlink(os.path.join(root, "secret.json"), os.path.join(root, path))
        equal(listed(root)[ID]["name"], "", "the name behind a link")
        os.remove(os.path.join(root, path))
        os.mkfifo(os.path.join(root, path))
        equal(listed(root)[ID]["name"], "", "the name in a pipe")
        root = scratch(0o755)  # the longest name that is one, to see that these tests can fail
        written(root, path, {"Name": "/" + "a" * 253})
        equal(listed(root)[ID]["name"], "a" * 253, "the longest name")
        for text in ("{", "[]", '{"pid": -1}', '{"pid": 1, "process-start-time": 5}', '{"pid": 99999999999}'):
            written(root, "run/crun/odd/status", text)
            true("odd" not in listed(root), f"a container by {text}")


def test_nested():
    """what a container makes inside itself to look like another one is a part of it"""
    other = "0" * 64
    with Asleep(f"/docker/{ID}/docker/{other}") as asleep:
        rows = listed()
        equal(rows[ID]["pids"], [asleep.pid], "the outer one")
        true(other not in rows, "the inner one is listed")


def test_crun():
    """a real container of crun: its id is its name, its processes and its network namespace are found"""
    before, state = leftovers(), scratch(0o755)
    with Namespaces("s") as spaces:
        with Container(state, "lonely", image(), spaces.names["s"], "/bin/sh", "-c", "sleep 1000 & wait") as one:
            wait_for("its second process", lambda: len(listed(state)["lonely"]["pids"]) == 2)
            one.enter("/bin/sleep", "1000")
            equal(len(listed(state)["lonely"]["pids"]), 3, "processes with one from outside")
            row = listed(state)["lonely"]
            equal((row["runtime"], row["name"], row["first"]), ("crun", "lonely", one.pid), "the container")
            equal(row["netns"], os.stat(f"/run/netns/{spaces.names['s']}").st_ino, "its network namespace")
            table = command(TFJ, "containers", env={**os.environ, "BOP_CONTAINERS_ROOT": state}).out
            true("lonely" in table and f"first {one.pid}" in table, f"the table: {table}")
        true("lonely" not in listed(state), "it is listed after its end")
    nothing_left(before)


class Pair:
    """A redis server and a client in containers of their own, called redis and client, in two namespaces that are joined."""

    def __init__(self, client=("/bin/sleep", "100000")):
        self.state, self.spaces = scratch(0o755), Namespaces("s", "c")
        self.root = image("redis-server", "redis-cli")
        self.client_argv, self.server, self.client = client, None, None

    def serve(self):
        self.server = Container(self.state, "redis", self.root, self.spaces.names["s"], shutil.which("redis-server"), "--save", "", "--dir",
                                "/data", "--bind", "0.0.0.0", "--protected-mode", "no").start()
        wait_for("redis", lambda: self.ask("ping") == "PONG\n")

    def ask(self, *argv, text=True):
        """A stranger's question, in the server's container."""
        return self.server.crun("exec", "redis", shutil.which("redis-cli"), *argv, check=False, text=text).stdout

    def __enter__(self):
        self.spaces.__enter__()
        try:
            self.client = Container(self.state, "client", self.root, self.spaces.names["c"], *self.client_argv).start()
            self.serve()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for container in (self.server, self.client):
            if container:
                container.stop()
        self.spaces.__exit__()

    def counted(self):
        """Bytes that redis has read and written, by its own count: with this question, and without its answer; what that has."""
        answer = self.ask("info", "stats", text=False)
        lines = dict(line.split(":", 1) for line in answer.decode().splitlines() if ":" in line)
        return int(lines["total_net_input_bytes"]), int(lines["total_net_output_bytes"]), len(f"${len(answer)}") + 2 + len(answer) + 2


BOXES = "[{name: s, container: redis}, {name: c, container: client}]"


def asked(*commands, boxes=BOXES, attach="{listen: 6379}"):
    """An experiment whose client, in its container, asks each of these on a connection of its own."""
    return contained(" && ".join(f"redis-cli -h s {command}" for command in commands), boxes, attach)


def contained(script, boxes=BOXES, attach="{listen: 6379}", timeout="30s"):
    """An experiment whose client, in its container, is this script; redis in the other one is attached."""
    return experiment(f"experiment: contained\nboxes: {boxes}\nprocesses:\n  - {{name: redis, box: s, attach: {attach}}}\n"
                      f"workload: {{name: client, box: c, run: [sh, -c, '{script}']}}\ntimeout: {timeout}\n")


def run_in(pair, path, *argv, at=None, **kwargs):
    return bop("run", path, "--store", at or store(), *argv, env={**os.environ, "BOP_CONTAINERS_ROOT": pair.state}, **kwargs)


def sums(run, process, kind):
    return sum(v["bytes"] for v in run["vertices"] if (v["process"] or "").startswith(process) and v["kind"] == kind)


def test_redis():
    """two containers are boxes of one file: nothing is lost, each byte is matched, and redis counted as many; the containers stay"""
    before, at = leftovers(), store()
    with Pair() as pair:
        idle, begin = pair.counted(), pair.counted()
        equal(begin[1] - idle[1], idle[2], "bytes of an answer, as redis counted")
        run_in(pair, asked("set k hello", "get k", "append k 12345"), at=at, status=0)
        end = pair.counted()
        run = show("last", at)
        equal((run["outcome"], run["lost"], run["incomplete"], run["holes"]), ("good", 0, False, []), "the run")
        bytes_match(run)
        equal([sums(run, "redis", "recv"), sums(run, "redis", "send")], 
              [end[0] - 2 * begin[0] + idle[0], end[1] - begin[1] - begin[2]], "bytes, as redis counted")
        equal(len(run["connections"]), 3, "connections")
        true(all(m["delivered"] for m in run["messages"]) and len(run["messages"]) == 6, f"messages: {run['messages']}")
        true(pair.ask("get", "k") == "hello12345\n", "the server has not got what was sent, or has gone")
        rows = listed(pair.state)
        equal(len(rows["client"]["pids"]), 1, "processes of the client's container after the run")
    nothing_left(before)


def test_inside():
    """a program of the run is in the container: its files, host name, processes and users, names of the boxes; not its cgroup"""
    with Pair() as pair:
        at, path = store(), asked("ping")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        script = "cat /proc/sys/kernel/hostname; id -u; id -g; pwd; env; ls /proc/1/cwd/data >/dev/null; cat /proc/1/comm; cat /etc/hosts"
        text = text.split("workload:")[0] + (f"workload: {{name: client, box: c, user: redis, run: [sh, -c, \"{script}\"]}}\n"
                                             "check: {run: [sh, -c, 'test ! -e /proc/sys/kernel/nothing && redis-cli -h s ping']}\ntimeout: 30s\n")
        run_in(pair, experiment(text), at=at, status=0)
        run = show("last", at)
        out = next(p for p in run["processes"] if p["name"] == "client")["stdout"]
        lines = out.splitlines()
        equal(lines[:4], ["client", "4321", "4322", "/"], "host name, user, group, folder")
        true("PWD=/" in lines and "HOME=/" in lines and "BOP_ADDR_S=10.91.0.1" in lines, f"the environment: {lines}")
        true("BOP_RUN_DIR" not in out, "a folder that is not there is in the environment")
        true("sleep" in lines and "10.91.0.1\ts" in lines, f"processes and names: {lines}")
        with open(f"/proc/{pair.client.pid}/root/etc/hosts", encoding="utf-8") as f:
            equal(f.read(), "", "/etc/hosts of the container after the run")


def test_cut():
    """a cut hits the message that it names, and not one before it; what comes after the run passes again"""
    with Pair() as pair:
        at = store()
        path = contained("printf \"set a 1\\nset a 2\\n\" | timeout 2 redis-cli -h s; redis-cli -h s get a", attach="{container: redis}")
        run_in(pair, path, at=at, status=None)
        asks = [m["label"] for m in show("last", at)["messages"] if ">" in m["label"]]
        label = max(asks, key=lambda label: int(label.split("/")[1]))  # what came on the first connection last
        pair.ask("set", "a", "0")
        run_in(pair, path, "--fault", f"cut {label}", at=at, status=None)
        run = show("last", at)
        out = next(p["stdout"] for p in run["processes"] if p["name"] == "client")
        equal(out.split()[-1], "1", "what redis had read")  # when the run is over the kernel goes on, and delivers it late
        fault = run["faults"][0]
        equal((fault["state"], fault["messages"], fault["collateral_messages"]), ("fired", 1, 0), f"the receipt {fault}")
        equal(run["lost"], 0, "lost events")
        equal([m["label"] for m in run["messages"] if not m["delivered"]], [label], "messages that were not delivered")
        run_in(pair, path, at=at, status=None)
        equal(pair.ask("get", "a"), "2\n", "after the fault")


def test_again():
    """a container that dies during a run is shown; when it is back under its name, the same agent takes it as the same box"""
    before = leftovers()
    os.environ["BOP_CONTAINERS_ROOT"] = ""
    with Pair() as pair, Server() as server:
        os.environ["BOP_CONTAINERS_ROOT"] = pair.state
        agent = server.agent("s=container:redis", "c=container:client")
        path = asked("ping", boxes="[s, c]")
        server.run(path, status=0)
        inside = f"/proc/{pair.client.pid}/root/data"
        running = Running(BOP, "run", f"--server={server.api}", contained(
            "touch /data/up; until test -e /data/gate; do sleep 0.1; done", "[s, c]", "{container: redis}"))
        wait_for("the workload", lambda: os.path.exists(inside + "/up"))
        pair.server.stop()
        with open(inside + "/gate", "w", encoding="ascii"):
            pass
        equal(running.end().status, 0, "the run in which it died")
        shown = show("last", server.store)
        row = next(p for p in shown["processes"] if p["name"] == "redis")
        equal(row["signal"], 9, f"the end of redis: {row}")
        result = server.run(path, status=3)
        true("no running container 'redis'" in result.err, f"a container that is not there: {result}")
        pair.serve()
        server.run(path, status=0)
        shown = show("last", server.store)
        equal((shown["outcome"], shown["lost"]), ("good", 0), "the run after that")
        bytes_match(shown)
        true(agent.process.poll() is None, "the agent has ended")
    del os.environ["BOP_CONTAINERS_ROOT"]
    nothing_left(before)


def test_refused():
    """bad names, and what does not go together, are one clear line, and nothing is started"""
    with Pair() as pair:
        one_line(run_in(pair, asked("ping", boxes=BOXES.replace("redis", "nobody")), status=3), "box 's'", "no running container 'nobody'", "tfj containers")
        one_line(run_in(pair, asked("ping", boxes=BOXES.replace("redis", "'a b'")), status=3), "experiment.yaml:2:", "id or the name")
        one_line(run_in(pair, asked("ping", boxes=BOXES.replace("redis", "client")), status=3), "'s' and 'c'", "same network namespace")
        one_line(run_in(pair, asked("ping", boxes=BOXES.replace("container: redis", "container: redis, netns: x")), status=3), "not both")
        one_line(run_in(pair, asked("ping", boxes="[{name: s, container: redis}, c]"), status=3), "in common")
        result = run_in(pair, asked("ping", attach="{container: nobody}"), status=3)
        true("no running container 'nobody'" in result.err and "experiment.yaml:4:" in result.err, f"attached nobody: {result}")
        result = run_in(pair, asked("ping", attach="{container: client}"), status=3)
        true("is in the network namespace of box 's'" in result.err, f"attached elsewhere: {result}")
        result = run_in(pair, asked("ping"), "--fault", "crash redis", status=3)
        true("attached" in result.err, f"crash of a container: {result}")
        equal(len(listed(pair.state)["client"]["pids"]), 1, "what was started")


def test_perhaps():
    """with a ? a container that does not run here is left out, with a line; when none runs the agent says so, and ends"""
    with Pair() as pair, Server() as server:
        os.environ["BOP_CONTAINERS_ROOT"] = f"/proc/{os.getpid()}/root{pair.state}"  # as the agent in a container has it
        try:
            agent = server.agent("s=container:redis?", "c=container:client?", "x=container:nobody?")
            equal([box["name"] for box in server.boxes()["agents"][0]["boxes"]], ["s", "c"], "boxes")
            server.run(asked("ping", boxes="[s, c]"), status=0)
            true("box 'x'" in agent.result().err and "left out" in agent.result().err, f"what the agent says: {agent.result()}")
            lonely = command(TFJ, "--collector", server.agents_url, "--box", "x=container:nobody?", status=3)
            true("none of the containers" in lonely.err, f"an agent without boxes: {lonely}")
        finally:
            del os.environ["BOP_CONTAINERS_ROOT"]


def test_words():
    """what `tfj containers` does not take is one line"""
    one_line(command(TFJ, "containers", "--no-faults", status=3), "containers takes no --no-faults")
    one_line(command(TFJ, "containers", "all", status=3), "'all'", "--help")
    one_line(command(TFJ, "clean", "--json", status=3), "probe and containers")


if __name__ == "__main__":
    sys.exit(run_tests(test_layouts, test_hostile, test_nested, test_crun, test_redis, test_inside, test_cut, test_again, test_refused, test_perhaps,
                       test_words))
