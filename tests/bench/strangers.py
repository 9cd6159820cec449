#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much longer an agent waits for acknowledgements while strangers knock at the server's door: alternating rounds."""
import json
import os
import statistics
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/net"))
from harness import OUT, experiment  # noqa: E402  pylint: disable=wrong-import-position
from serving import Server  # noqa: E402  pylint: disable=wrong-import-position
from strangers import Flood  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS, BATCHES = int(os.environ.get("ROUNDS", "5")), 200


def once(server):
    """(median, 99th percentile) of one run, in microseconds."""
    agent = subprocess.Popen([os.path.join(OUT, "tests/bench/ack"), server.tcp_url, server.key,
                              f"{server.keys}/bench.secret", str(BATCHES)], stdout=subprocess.PIPE, text=True)
    while not server.boxes()["agents"] and agent.poll() is None:
        pass
    server.run(experiment("experiment: bench\nboxes: [bench]\nworkload: {name: w, box: bench, run: [w]}\ntimeout: 10m\n"))
    out = agent.communicate(timeout=60)[0]
    if agent.returncode:
        raise SystemExit("tests/bench/ack failed")
    while server.boxes()["agents"]:
        pass
    values = dict(line.split() for line in out.splitlines())
    return float(values["ack_p50_us"]), float(values["ack_p99_us"])


def main():
    quiet, loud, refused = [], [], 0
    with Server(tcp=True) as server:
        server.allow("bench")
        once(server)  # everything is warm
        for _ in range(ROUNDS):
            quiet.append(once(server))
            with Flood(server.port, 10 ** 9) as flood:
                loud.append(once(server))
            refused += sum(flood.sent.values())
    p99 = [statistics.median(v[1] for v in values) for values in (quiet, loud)]
    print(json.dumps({"ack_p99_us": p99[0], "ack_p99_flood_us": p99[1], "ratio": p99[1] / p99[0], "refused": refused}))


if __name__ == "__main__":
    main()
