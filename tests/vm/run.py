#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The VM tests. tests/run.sh prepares the guests and runs this where KVM is.

  run.py [--list] [--quick] [--jobs N] [--shard I/N] [PATTERN...]

A PATTERN is a test's name or a shell pattern (boot-*). Logs go to $LAB_OUT/vm in the lab, to build/vm-test
otherwise. The last line is "N passed, N failed, N skipped".
"""
import argparse
import fnmatch
import importlib
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import vm  # noqa: E402


def load_tests():
    here = os.path.dirname(os.path.abspath(__file__))
    for name in sorted(os.listdir(here)):
        if name.endswith(".py") and (name.startswith("test_") or name == "hostile.py"):
            importlib.import_module(name[:-3])


class Report:
    def __init__(self):
        self.lock = threading.Lock()
        self.count = {"PASS": 0, "FAIL": 0, "SKIP": 0}

    def line(self, verdict, text, detail=()):
        with self.lock:
            self.count[verdict] += 1
            print(verdict, text)
            for d in detail:
                print("   ", d)
            sys.stdout.flush()


def run_one(test, work, logs, report, keep):
    began = time.monotonic()
    context = vm.Context(test.name, work, logs)
    try:
        test.function(context)
        verdict, why = "PASS", ""
    except vm.Skip as e:
        verdict, why = "SKIP", str(e)
    except vm.Fail as e:
        verdict, why = "FAIL", str(e)
    except Exception as e:
        verdict, why = "FAIL", f"the test itself: {type(e).__name__}: {e}"
        context.say(traceback.format_exc())
    seconds = time.monotonic() - began
    detail = []
    if verdict == "FAIL":
        detail = [*context.tail(), f"-- {seconds:.1f} s; logs: {os.path.join(logs, test.name)}*"]
    if keep and verdict == "FAIL":
        for m in context.machines:
            m.kill()
    else:
        context.finish()
    notes = "".join("; " + n for n in context.notes)
    if verdict == "PASS":
        report.line(verdict, f"{test.name} ({seconds:.1f} s{notes})")
    else:
        report.line(verdict, f"{test.name}: {why}", detail)


def main():
    p = argparse.ArgumentParser(usage="tests/run.sh [OPTIONS] [PATTERN...]", description="The VM tests.")
    p.add_argument("--list", action="store_true", help="list the tests, with about how long they take")
    p.add_argument("--quick", action="store_true", help="only the few that show the most")
    p.add_argument("--jobs", type=int, default=1, metavar="N", help="N tests at a time")
    p.add_argument("--shard", metavar="I/N", help="the I-th of N parts of the tests, of like length")
    p.add_argument("--keep", action="store_true", help="keep the disks of a test that failed")
    p.add_argument("patterns", nargs="*", metavar="PATTERN", help="a test's name, or a shell pattern")
    a = p.parse_args()
    load_tests()
    tests = list(vm.TESTS.values())
    if a.quick:
        tests = [t for t in tests if t.quick]
    if a.patterns:
        for pattern in a.patterns:
            if not fnmatch.filter([t.name for t in tests], pattern):
                p.error(f"no test is called {pattern} (--list)")
        tests = [t for t in tests if any(fnmatch.fnmatch(t.name, x) for x in a.patterns)]
    if a.shard:
        i, n = (int(x) for x in a.shard.split("/"))
        load, mine = [0] * n, []
        for t in sorted(tests, key=lambda t: -t.cost):
            least = load.index(min(load))
            load[least] += t.cost
            if least == i - 1:
                mine.append(t)
        tests = [t for t in tests if t in mine]
    if a.list:
        for t in tests:
            print(f"{t.name:28s} {t.cost:4d} s{'  quick' if t.quick else ''}")
        return 0

    logs = os.path.join(os.environ["LAB_OUT"], "vm") if vm.IN_LAB else os.path.join(vm.BUILD, "vm-test")
    work = "/scratch/vm-test" if vm.IN_LAB else os.path.join(vm.BUILD, "vm-test", "work")
    os.makedirs(logs, exist_ok=True)
    os.makedirs(work, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    report, todo = Report(), queue.Queue()
    for t in tests:
        todo.put(t)

    def worker():
        while True:
            try:
                t = todo.get_nowait()
            except queue.Empty:
                return
            run_one(t, work, logs, report, a.keep)

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(max(1, a.jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if not a.keep:
        shutil.rmtree(work, ignore_errors=True)
    c = report.count
    print(f"{c['PASS']} passed, {c['FAIL']} failed, {c['SKIP']} skipped")
    return 1 if c["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
