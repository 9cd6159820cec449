#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs until `bop ldfi` finds what is wrong with a protocol of the LDFI paper, beside the paper's and beside random search.

Prints JSON: {protocol: {"runs", "random" (median over SEEDS; null: not found within LIMIT), ...}}. O is the build directory.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

O = os.environ.get("O", "build")
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOP = os.path.join(TOP, O, "bop")
SEEDS = range(1, int(os.environ.get("LDFI_SEEDS", "7")) + 1)
LIMIT = 200  # runs of a random search
# protocol: losses until, crashes, the paper's runs, and those of its random search (figure 12; mean of 25)
FOUND = {"simple-deliv": (2, 0, 2, 4.08), "retry-deliv": (2, 1, 3, 75.24), "classic-deliv": (3, 0, 5, 116.16), "2pc": (0, 1, 2, 5.48),
         "2pc-ctp": (0, 1, 3, 8.56), "3pc": (7, 1, 55, 40.60)}
# and those that survive (figure 13)
CERTIFIED = {"redun-deliv": (10, 1, 11), "ack-deliv": (7, 1, 673)}


class Server:
    def __init__(self, work):
        self.url = "ipc://%s/api" % work
        self.process = subprocess.Popen([BOP, "serve", "--agent", "--dir", work, "--store", os.path.join(work, "runs.db")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(600):
            boxes = subprocess.run([BOP, "boxes", "--server", self.url, "--json"], capture_output=True, text=True, check=False)
            if boxes.returncode == 0 and json.loads(boxes.stdout)["agents"]:
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit("the server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def search(server, work, protocol, losses_until, crashes, *argv):
    """The last object: how it ended."""
    path = os.path.join(TOP, "examples/ldfi", protocol + ".yaml")
    done = subprocess.run([BOP, "ldfi", path, "--server=" + server.url, "--losses-until", str(losses_until), "--crashes", str(crashes),
                           "--json", "--confirm", "0", *argv], capture_output=True, text=True, cwd=work, check=False)
    if done.returncode not in (0, 1, 2):
        raise SystemExit("bop ldfi %s failed (%d): %s" % (protocol, done.returncode, done.stderr.strip()))
    return json.loads(done.stdout.splitlines()[-1])


def found(server, work, protocol, losses_until, crashes, *paper):
    end = search(server, work, protocol, losses_until, crashes)
    if end["result"] != "violated":
        raise SystemExit("bop ldfi %s: %s" % (protocol, end["result"]))
    lots = [search(server, work, protocol, losses_until, crashes, "--strategy", "random", "--seed", str(seed), "--runs", str(LIMIT))
            for seed in SEEDS]
    median = statistics.median(lot["runs"] if lot["result"] == "violated" else LIMIT + 1 for lot in lots)
    return {"runs": end["runs"], "random": median if median <= LIMIT else None, "paper": paper[0], "paper_random": paper[1]}


def certified(server, work, protocol, losses_until, crashes, paper):
    end = search(server, work, protocol, losses_until, crashes)
    if end["result"] != "certified":
        raise SystemExit("bop ldfi %s: %s" % (protocol, end["result"]))
    return {"certified": end["runs"], "paper": paper, "per_second": end["runs"] / end["seconds"]}


def main():
    with tempfile.TemporaryDirectory(prefix="bop-bench-") as work, Server(work) as server:
        results = {name: found(server, work, name, *row) for name, row in FOUND.items()}
        results.update((name, certified(server, work, name, *row)) for name, row in CERTIFIED.items())
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
