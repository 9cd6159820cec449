#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers: told apart by their cgroups and namespaces, with names from their runtimes' files."""
import json
import os
import sys

from containers import Asleep, Container, image
from harness import TFJ, command, equal, leftovers, nothing_left, one_line, run_tests, scratch, true, wait_for
from serving import Namespaces

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


def test_words():
    """what `tfj containers` does not take is one line"""
    one_line(command(TFJ, "containers", "--no-faults", status=3), "containers takes no --no-faults")
    one_line(command(TFJ, "containers", "all", status=3), "'all'", "--help")
    one_line(command(TFJ, "clean", "--json", status=3), "probe and containers")


if __name__ == "__main__":
    sys.exit(run_tests(test_layouts, test_hostile, test_nested, test_crun, test_words))
