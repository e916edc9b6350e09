"""What a benchmark ran on: prints the machine and the versions of all programs as JSON."""

import json
import os
import platform
import re
import subprocess
import time

from results import commit

COMMANDS = {
    "clang": ["clang++-19", "--version"],
    "gcc": ["gcc", "--version"],
    "Go": ["go", "version"],
    "rustc": ["rustc", "--version"],
    "Node.js": ["node", "--version"],
    "Python": ["/usr/bin/python3", "--version"],
    "newer Python": [os.environ.get("PYTHON313", "python3.13"), "--version"],
    "fio": ["fio", "--version"],
}
PACKAGES = {
    "Boost (Asio)": "libboost1.81-dev",
    "tokio": "librust-tokio-dev",
    "libuv": "libuv1-dev",
    "liburing": "liburing-dev",
    "OpenSSL": "libssl-dev",
    "uvloop": "python3-uvloop",
    "aiofiles": "python3-aiofiles",
}


def output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def version(text):
    """The first thing in it that looks like one: "go version go1.19.8 linux" -> "1.19.8"."""
    found = re.search(r"\d+(\.\d+)+[^\s)]*", text)
    return found[0] if found else "not found"


def field(path, name):
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "unknown"


def machine():
    packages = {name: output(["dpkg-query", "-W", "-f", "${Version}", package])
                for name, package in PACKAGES.items()}
    return {
        "processor": field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(int(field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "virtual": "hypervisor" in field("/proc/cpuinfo", "flags").split(),
        "versions": {name: version(output(command)) for name, command in COMMANDS.items()}
        | {name: found or "not found" for name, found in packages.items()},
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


if __name__ == "__main__":
    print(json.dumps(machine(), indent=1))
