#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Register-level tests over the qtest protocol, of selfio-qtest or of QEMU itself.

  tests/qtest/run.py [--program PROGRAM] [--list] [PATTERN]...

The last line is "N passed, N failed, N skipped".  On QEMU, cases in DIFFERENCES must fail: each has the
reason why the two may differ, and one that no longer applies is a failure.
"""
import argparse
import fnmatch
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import cases
import qtest

# case: why QEMU's result is another, and not selfio's mistake.
DIFFERENCES = {
    "ide-dma-short-data": "QEMU looks at the table first and moves nothing if it is short; SFF-8038i leaves it open",
    "ide-bm-error": "QEMU's bus master takes missing memory for zeros and has no error; the data sheet has one",
    "ide-no-master": "QEMU carries the command out with nowhere to put its data; a device that may not master "
                     "the bus waits",
    "ide-nien-pending": "QEMU forgets an interrupt that nIEN held back; in ATA it stays pending",
    "ide-srst-busy": "QEMU's reset is over while SRST is still set",
    "ide-srst-line": "QEMU leaves INTRQ up in a software reset, and ends it with an interrupt",
    "ide-absent-channel": "QEMU completes FLUSH CACHE, with an interrupt, where no drive is",
    "ide-reset-line": "QEMU leaves INTRQ as it was over a reset of the machine",
    "pic-cascade-masked": "QEMU's master keeps the request, for a spurious interrupt 15; an 8259A's input must stay "
                          "high until it is acknowledged",
    "pit-gate-mode-0": "QEMU's counter 2 goes on in mode 0 whatever its gate is",
    "uart-out2": "QEMU's serial port interrupts whatever OUT2 is; on a PC it gates the interrupt",
}


class Context:
    """What a case gets: machines of the program under test, and a folder."""

    def __init__(self, program, exact, folder):
        self.program, self.exact, self.folder = program, exact, folder

    def machine(self, *args, **kw):
        return qtest.Machine(self.program, list(args), folder=self.folder, exact=self.exact, **kw)

    def image(self, data=None, size=None, name="disk"):
        """A file with data, made longer to size."""
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(data or b"")
            f.truncate(size or len(data))
        return path


def run(case, program, exact):
    """None, or what went wrong."""
    with tempfile.TemporaryDirectory(prefix="qtest") as folder:
        try:
            case.run(Context(program, exact, folder))
            return None
        except qtest.Skip:
            raise
        except qtest.Fail as e:
            return str(e)
        except Exception:  # pylint: disable=broad-except
            return traceback.format_exc()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--program", default="build/selfio-qtest")
    p.add_argument("--list", action="store_true")
    p.add_argument("patterns", nargs="*", metavar="PATTERN")
    a = p.parse_args()
    chosen = [c for c in cases.ALL
              if not a.patterns or any(fnmatch.fnmatch(c.name, x) for x in a.patterns)]
    if a.list:
        for c in chosen:
            print(f"{c.name:28} {c.run.__doc__ or ''}")
        return 0
    program = shutil.which(a.program)
    if not program:
        print(f"SKIP {a.program} is not installed")
        print("0 passed, 0 failed, 1 skipped")
        return 77
    version = subprocess.run([program, "-version"], capture_output=True, text=True, check=False,
                             timeout=60).stdout
    selfio = version.startswith("selfio-qtest")
    exact = selfio or "qtest" in subprocess.run([program, "-accel", "help"], capture_output=True, text=True,
                                                check=False, timeout=60).stdout.split()
    print(version.split("\n", maxsplit=1)[0])
    passed = failed = skipped = differ = 0
    for c in chosen:
        start = time.monotonic()
        try:
            if c.only and not selfio:
                raise qtest.Skip(c.only)
            if c.exact and not exact:
                raise qtest.Skip("this QEMU has no -accel qtest: its clock is not exact")
            why = run(c, program, exact)
        except qtest.Skip as e:
            print(f"SKIP {c.name}: {e}")
            skipped += 1
            continue
        reason = None if selfio else DIFFERENCES.get(c.name)
        good = why is not None if reason else why is None
        if not good and reason:
            why = f"passes, though it is said to differ: {reason}"
        if not good:
            print(f"FAIL {c.name}: {why}")
        elif reason:
            differ += 1
            print(f"DIFF {c.name}: {why}\n     as expected: {reason}")
        else:
            print(f"PASS {c.name} ({time.monotonic() - start:.2f} s)")
        sys.stdout.flush()
        passed += good
        failed += not good
    if differ:
        print(f"({differ} of those that passed differ as they should)")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
