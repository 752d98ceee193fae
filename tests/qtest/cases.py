# SPDX-License-Identifier: BSD-2-Clause
"""All cases.  A case's function gets a Context (run.py), returns if all is well and raises Fail if not."""


class Case:  # pylint: disable=too-few-public-methods
    def __init__(self, name, only, exact, function):
        self.name, self.only, self.exact, self.run = name, only, exact, function


ALL = []


def case(name, only=None, exact=False):
    """only: why it makes no sense on QEMU.  exact: it needs a clock that can be set to the ns."""
    def add(function):
        ALL.append(Case(name, only, exact, function))
        return function
    return add


# pylint: disable=wrong-import-position,cyclic-import,unused-import
import test_proto  # noqa: E402
import test_pci  # noqa: E402
import test_ide  # noqa: E402
import test_rtc  # noqa: E402
import test_uart  # noqa: E402
import test_pm  # noqa: E402
import test_irq  # noqa: E402
import test_platform  # noqa: E402
