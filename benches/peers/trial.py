"""One trial of a contestant: what it prints, and what the machine did meanwhile."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# As in .ci and PERF.md: everybody is built for the machine that it runs on.
NATIVE = {"RUSTFLAGS": os.environ.get("RUSTFLAGS", "-C target-cpu=native")}

# Exit status of a contestant that does not have a workload.
NO_SUCH_WORKLOAD = 3

# A trial takes seconds; one that hangs must not hold up everything after it.
DEADLINE_S = 300

# What a contestant may take to end once it is told to.
STOP_DEADLINE_S = 30

# Contestants that pay for a process of their own to warm up in are given fewer records; rates are a second.
FEWER = {"flink": {"chain": 20_000_000, "keyed": 4_000_000, "window": 4_000_000, "sliding": 200_000}}


def target(folder):
    """Where cargo puts what it builds in a folder."""
    return Path(os.environ.get("CARGO_TARGET_DIR", folder / "target"))


def slotflow_target():
    """slotflow's builds are told apart from the contestants', whatever the folder of both is."""
    return target(ROOT) / "peers" if "CARGO_TARGET_DIR" in os.environ else target(ROOT)


def build():
    """Builds the contestants and slotflow's runner."""
    environment = os.environ | NATIVE
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=HERE, env=environment, check=True)
    runner = ["cargo", "build", "--profile", "measure", "--example", "workload", "--target-dir", str(slotflow_target())]
    subprocess.run(runner, cwd=ROOT, env=environment, check=True)


class Contestant:
    """`name`, `name:variant`, `name:variant/batch`, or `name=COMMAND` for a program that has the same command line."""

    def __init__(self, text):
        self.label = text
        if "=" in text.split(":")[0]:
            self.label, command = text.split("=", 1)
            self.name, self.command = self.label, shlex.split(command)
            return
        self.name, _, options = text.partition(":")
        variant, _, batch = options.partition("/")
        self.command = [str(self.program())]
        self.command += ["--variant", variant] if variant else []
        self.command += ["--batch", batch] if batch else []

    def program(self):
        if self.name == "slotflow":
            return slotflow_target() / "measure" / "examples" / "workload"
        if (HERE / self.name / "run").exists():
            return HERE / self.name / "run"
        return target(HERE) / "release" / f"peer-{self.name}"

    def records(self, workload, records):
        return min(records, FEWER.get(self.name, {}).get(workload, records))


def machine():
    """Ticks in which the machine was busy, and in which others had it, since it started."""
    user, nice, system, _, _, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return user + nice + system + irq + softirq, steal


def run(command):
    """Runs a program once: its last line of JSON, with its CPU time and the shares of the machine that others had."""
    ticks, cores = os.sysconf("SC_CLK_TCK"), os.cpu_count()
    busy, steal = machine()
    before, began = os.times(), time.monotonic()
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        return {"error": f"not done within {DEADLINE_S} s"}
    wall, after = time.monotonic() - began, os.times()
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    if ended.returncode == NO_SUCH_WORKLOAD:
        return {"error": "has no such workload"}
    if ended.returncode != 0 or not lines:
        return {"error": f"exit status {ended.returncode}: {(ended.stderr or ended.stdout).strip()[-200:]}"}
    own = after.children_user + after.children_system - before.children_user - before.children_system
    busy, steal = machine()[0] - busy, machine()[1] - steal
    result = json.loads(lines[-1])
    result["cpu_s"] = own
    result["others_share"] = max(0.0, (busy / ticks - own) / (wall * cores))
    result["steal_share"] = steal / ticks / (wall * cores)
    return result


class Running:
    """A contestant that has no end of its own, until `stop`; to be asked for its CPU time meanwhile."""

    def __init__(self, command):
        self.out, self.began_s = tempfile.TemporaryFile("w+"), time.time()
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.out)
        self.usage = None

    def reap(self, options):
        if self.usage is None:
            pid, status, usage = os.wait4(self.process.pid, options)
            if pid:
                self.usage, self.process.returncode = usage, os.waitstatus_to_exitcode(status)

    def failure(self):
        """Why it has ended by itself, if it has and should not."""
        self.reap(os.WNOHANG)
        if self.usage is None or self.process.returncode == 0:
            return None
        self.out.seek(0)
        told = "has no such workload" if self.process.returncode == NO_SUCH_WORKLOAD else self.out.read().strip()[-300:]
        return f"exit status {self.process.returncode}: {told}"

    def cpu_s(self):
        """CPU time so far."""
        self.reap(os.WNOHANG)
        if self.usage is not None:
            return self.usage.ru_utime + self.usage.ru_stime
        words = open(f"/proc/{self.process.pid}/stat").read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Tells it to end and waits; the most memory it ever had, in MiB."""
        if self.usage is None:
            self.process.send_signal(signal.SIGTERM)
            killer = threading.Timer(STOP_DEADLINE_S, self.process.kill)
            killer.start()
            self.reap(0)
            killer.cancel()
        self.out.close()
        return self.usage.ru_maxrss / 1024


def probe():
    """How far the first two cores are apart at this moment, and how much of a spinning thread's time is lost."""
    result = run([str(target(HERE) / "release" / "peer-probe")])
    if "error" in result:
        sys.exit(f"peer-probe: {result['error']}")
    return result
