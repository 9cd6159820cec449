# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that moves bytes over TCP as it is told, and counts nothing: for tests of what it did.

Lines on stdin, an answer on stdout for each: `listen PORT`, `accept`, `connect ADDRESS PORT`, `send K N`, `recv K N`,
`flood K`, `drain K`, `close K`, K the k-th connection from 0; `thread`, `fork` make a thread or child; `on K LINE`, `in K LINE` hand a
line to the k-th of them; `start LINE` does it in a thread of its own and answers at once, `join` waits for that. Also the test's
side of it.
"""
import json
import os
import queue
import socket
import subprocess
import sys
import threading


class Worker:
    """A thread that does what it is told."""

    def __init__(self, program):
        self.tasks, self.answers = queue.Queue(), queue.Queue()
        self.thread = threading.Thread(target=self.main, args=(program,), daemon=True)
        self.thread.start()

    def main(self, program):
        while True:
            self.answers.put(program.do(self.tasks.get()))

    def do(self, words):
        self.tasks.put(words)
        return self.answers.get()


class Child:
    """A process that does what it is told."""

    def __init__(self, program):
        there, here = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:  # it ends with its pipe: nobody else may hold the other end
            os.close(there[1])
            os.close(here[0])
            for other in program.forked:
                other.tasks.close()
                other.answers.close()
            program.threads, program.forked = [], []
            program.serve(os.fdopen(there[0]), os.fdopen(here[1], "w"))
            os._exit(0)
        self.tasks, self.answers = os.fdopen(there[1], "w"), os.fdopen(here[0])
        os.close(there[0])
        os.close(here[1])

    def do(self, words):
        print(" ".join(words), file=self.tasks, flush=True)
        return json.loads(self.answers.readline())


class Program:
    def __init__(self):
        self.listener, self.connections, self.threads, self.forked, self.started = None, [], [], [], None

    def add(self, connection):
        self.connections.append(connection)
        return [*connection.getsockname()[:2], *connection.getpeername()[:2]]

    def do(self, words):
        word, rest = words[0], words[1:]
        if word == "on":
            return self.threads[int(rest[0])].do(rest[1:])
        if word == "in":
            return self.forked[int(rest[0])].do(rest[1:])
        if word == "start":
            self.started = Worker(self)
            self.started.tasks.put(rest)
            return True
        if word == "join":
            return self.started.answers.get()
        if word == "thread":
            self.threads.append(Worker(self))
            return self.threads[-1].do(["tid"])
        if word == "tid":
            return threading.get_native_id()
        if word == "fork":
            self.forked.append(Child(self))
            return self.forked[-1].pid
        if word == "listen":
            self.listener = socket.create_server(("", int(rest[0])))
            return self.listener.getsockname()[1]
        if word == "accept":
            return self.add(self.listener.accept()[0])
        if word == "connect":
            return self.add(socket.create_connection((rest[0], int(rest[1]))))
        return self.move(word, self.connections[int(rest[0])], rest[1:])

    @staticmethod
    def move(word, connection, rest):
        if word == "send":
            connection.sendall(b"x" * int(rest[0]))
            return int(rest[0])
        if word == "recv":
            left = int(rest[0])
            while left:
                left -= len(connection.recv(left))
            return int(rest[0])
        if word == "flood":  # until the peer is gone
            try:
                while True:
                    connection.sendall(b"x" * 1000)
            except OSError:
                return True
        if word == "drain":
            while connection.recv(1000):
                pass
            return True
        connection.close()
        return True

    def serve(self, lines, answers):
        for line in lines:
            print(json.dumps(self.do(line.split())), file=answers, flush=True)


class Peer:
    """Such a program, in the test. argv: what stands in front of it (ip netns exec, ...)."""

    def __init__(self, *argv, program=sys.executable):
        self.process = subprocess.Popen([*argv, program, os.path.abspath(__file__)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.pid = self.process.pid

    def do(self, line):
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise AssertionError(f"the program ended at: {line}")
        return json.loads(answer)

    def lives(self):
        return self.process.poll() is None and self.do("tid") == self.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()  # it ends by itself, then
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


if __name__ == "__main__":
    Program().serve(sys.stdin, sys.stdout)
