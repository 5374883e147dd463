# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says one line when a person presses Ctrl-C, before Ansible ends the worker that is at work.

On TERM ansible-playbook is gone before a line can be shown: what there is to say is in the journal, and playbook status says it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType

from ansible.utils.display import Display

LATER_SECONDS = 0.02
"""After so long the line is tried again where the signal came while another was being handed on."""


@contextmanager
def saying(line: Callable[[], str]) -> Iterator[None]:
    """Show a line when the block is interrupted, then do what would have been done without it.

    :param line: makes it, by what is known then.
    """
    before = signal.getsignal(signal.SIGINT)
    parent, said = os.getppid(), False

    def interrupted(_number: int, frame: FrameType | None) -> None:
        nonlocal said
        said = said or written(line(), parent)
        if handing_on(frame):
            # By a thread: the alarm is Ansible's own, for tasks that may not take longer
            Timer(LATER_SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()
            return
        if not said:
            Display().display(line())
        if not callable(before):
            raise KeyboardInterrupt
        before(signal.SIGINT, frame)

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def written(line: str, pid: int) -> bool:
    """Write a line to the standard output of ansible-playbook itself, and return whether that could be done.

    A worker has none of its own, and a line that it hands on may come after the last one that ansible-playbook reads.

    :param pid: of ansible-playbook.
    """
    try:
        with open(f"/proc/{pid}/fd/1", "a", encoding="utf-8") as output:
            output.write(f"\n{line}\n")
    except OSError:  # no /proc, or a socket
        return False
    return True


def handing_on(frame: FrameType | None) -> bool:
    """Tell whether a worker is just handing a line or a result on to ansible-playbook.

    It holds the queue's lock then: another line would wait for it for ever, and a worker that ends with it leaves ansible-playbook waiting for ever.
    """
    while frame is not None:
        if frame.f_code.co_name == "put" and "multiprocessing" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False
