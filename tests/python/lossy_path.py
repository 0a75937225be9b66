"""What a lossy path costs: `lossy_path.py CAUSEWAY [ROUNDS]` gives a file over WebRTC with the program CAUSEWAY, and bare bytes over TCP with CUBIC.

The path is one between two network namespaces of its own, which only root on Linux can make: 100 Mbit/s and 20 ms in each direction, a queue of
20 ms, and 1 % of the packets lost. Nothing leaves them.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RATE, DELAY, QUEUE, LOSS = 12_500_000, 0.02, 0.02, 0.01
SENDER, RECEIVER = ("causeway-a", "10.77.0.1"), ("causeway-b", "10.77.0.2")
LENGTH, SECONDS = 12_000_000, 30
LIBC = ctypes.CDLL(None)


def enter(file):
    if LIBC.setns(file, 0x40000000) != 0:
        raise OSError("can't enter a network namespace: be root")


class inside:
    """This thread in a network namespace."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/var/run/netns/{self.name}", os.O_RDONLY)
        enter(there)
        os.close(there)

    def __exit__(self, *_):
        enter(self.home)
        os.close(self.home)


def open_end(name, own, other):
    subprocess.run(["ip", "netns", "add", name], check=True)
    with inside(name):
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        # TUNSETIFF, with packets as they are.
        fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"path", 0x0001 | 0x1000))
    for command in (
        f"addr add {own} peer {other} dev path",
        "link set path up",
        "link set lo up",
    ):
        subprocess.run(["ip", "-n", name, *command.split()], check=True)
    return device


def carry(ends):
    """Takes packets from one end to the other until the program ends."""
    dice, free, under_way, number = random.Random(1), [0.0, 0.0], [], 0
    while True:
        now = time.monotonic()
        wait = max(0.0, under_way[0][0] - now) if under_way else 1.0
        ready, _, _ = select.select(ends, [], [], wait)
        for end in ready:
            side = ends.index(end)
            try:
                packet = os.read(end, 65536)
            except BlockingIOError:
                continue
            start = max(time.monotonic(), free[side])
            if start - time.monotonic() > QUEUE:
                continue
            free[side] = start + len(packet) / RATE
            if dice.random() >= LOSS:
                number += 1
                heapq.heappush(under_way, (free[side] + DELAY, number, 1 - side, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, side, packet = heapq.heappop(under_way)
            os.write(ends[side], packet)


def tcp():
    """Bytes a second of TCP with CUBIC."""
    with inside(RECEIVER[0]):
        door = socket.create_server((RECEIVER[1], 0))

    def send():
        with inside(SENDER[0]):
            out = socket.socket()
        out.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        out.connect(door.getsockname())
        try:
            while True:
                out.sendall(bytes(65536))
        except OSError:
            pass

    threading.Thread(target=send, daemon=True).start()
    came, _ = door.accept()
    count, start = 0, time.monotonic()
    while time.monotonic() < start + SECONDS:
        count += len(came.recv(65536))
    came.close()
    return count / (time.monotonic() - start)


def webrtc(causeway):
    """Bytes a second that `get` has from `seed`, from the first half megabyte to the end."""
    alone = ["--json", "--no-dht", "--no-local-discovery", "--no-port-mapping", "--listen"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file.bin")
        file.write_bytes(os.urandom(LENGTH))

        def start(end, *arguments):
            command = ["ip", "netns", "exec", end[0], causeway, *arguments]
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

        tracker = start(SENDER, "tracker", "--listen", f"{SENDER[1]}:0")
        address = tracker.stdout.readline().split("http://")[1].strip()
        announce = f"ws://{address}/announce"
        seed = start(SENDER, "seed", str(file), "--tracker", announce, *alone, f"{SENDER[1]}:0")
        magnet = json.loads(seed.stdout.readline())["magnet"]
        get = start(RECEIVER, "get", magnet, "-o", f"{folder}/got", *alone, f"{RECEIVER[1]}:0")
        first = last = None
        for line in get.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["downloaded"] > 500_000:
                last = (time.monotonic(), event["downloaded"])
                first = first or last
        for program in (get, seed, tracker):
            program.terminate()
            program.wait()
        if Path(folder, "got/file.bin").read_bytes() != file.read_bytes():
            raise ValueError("what came is not what was sent")
        return (last[1] - first[1]) / (last[0] - first[0])


def main(causeway, rounds=4):
    try:
        ends = [open_end(*SENDER, RECEIVER[1]), open_end(*RECEIVER, SENDER[1])]
        threading.Thread(target=carry, args=[ends], daemon=True).start()
        for number in range(1, int(rounds) + 1):
            cubic, ours = tcp() / 1e6, webrtc(causeway) / 1e6
            print(f"round {number}: CUBIC {cubic:.3f} MB/s, WebRTC {ours:.3f}: {ours / cubic:.2f}", flush=True)
    finally:
        for name, _ in (SENDER, RECEIVER):
            subprocess.run(["ip", "netns", "del", name], check=False)


main(*sys.argv[1:])
