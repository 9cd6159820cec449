#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems that people run, as Debian ships them: no event lost, no hole, every byte received or left unread by a reader that closed.

Their packages are many and are not installed for this: what is not there is skipped. All of them, on Debian 12:

    apt-get install --no-install-recommends nginx-light apache2 apache2-utils wrk haproxy socat php-fpm memcached \\
        libmemcached-tools postgresql redis-sentinel mosquitto mosquitto-clients rabbitmq-server zookeeper \\
        mariadb-server galera-4 rsync iperf3 nghttp2-client nghttp2-server openssl netcat-openbsd
"""
import glob
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../net"))
from harness import Skip, bop, bytes_match, equal, leftovers, nothing_left, run_tests, scratch, show, store, true  # noqa: E402
from real_systems import SYSTEMS  # noqa: E402  pylint: disable=wrong-import-position

WHERE = ":".join(["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] +
                 glob.glob("/usr/lib/postgresql/*/bin") + ["/usr/lib/rabbitmq/bin"])


def folder_of(system):
    """Its files in a folder of their own, where everybody may read: some run as users of theirs."""
    folder = scratch(0o755)
    for name, text in system["files"].items():
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("@FOLDER@", folder).replace("@PATH@", WHERE))
        os.chmod(path, 0o755)
    with open(os.path.join(folder, "big"), "wb") as f:
        f.write(os.urandom(100000))
    os.chmod(os.path.join(folder, "big"), 0o644)
    return folder


def graph_agrees(run):
    """Every receive comes after its sends, and processes and connections all have names."""
    kinds = {v["id"]: v["kind"] for v in run["vertices"]}
    ends = {(kinds[e["from"]], kinds[e["to"]]) for e in run["edges"] if e["rule"] == "message"}
    true(ends <= {("send", "recv")}, f"ends of messages: {ends}")
    odd = [p["name"] for p in run["processes"] if "?" in p["name"]] + \
          [c["label"] for c in run["connections"] if "?" in c["label"]]
    equal(odd, [], "what has no name")


def case(name, system):
    def test():
        for program in system["needs"]:
            if not shutil.which(program, path=WHERE):
                raise Skip(f"{program} is not installed")
        before, at, folder = leftovers(), store(), folder_of(system)
        result = bop("run", os.path.join(folder, "experiment.yaml"), "--json", "--store", at)
        run = show("last", at)
        equal((run["outcome"], run["lost"], run["warnings"]), ("good", 0, None), f"{result}")
        bytes_match(run)
        graph_agrees(run)
        true(len(run["messages"]) >= system["messages"], f"only {len(run['messages'])} messages")
        for kind in ("svg", "png"):
            bop("graph", "last", "-o", os.path.join(os.path.dirname(at), f"picture.{kind}"), "--store", at)
        nothing_left(before)
    test.__doc__ = f"{name}: {system['what']}"
    return test


sys.exit(run_tests(*[case(name, system) for name, system in SYSTEMS.items()]))
