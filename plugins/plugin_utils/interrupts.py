# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says one line when a person presses Ctrl-C, before Ansible ends the worker that is at work.

On TERM ansible-playbook is gone before a line can be shown: what there is to say is in the journal, and playbook status says it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ansible.utils.display import Display

GIVE_UP_SECONDS = 2
"""After so long the worker ends even if the line can't be shown: the signal may have come in the middle of another."""


@contextmanager
def saying(line: Callable[[], str]) -> Iterator[None]:
    """Show a line when the block is interrupted, then do what would have been done without it.

    :param line: makes it, by what is known then.
    """
    before = signal.getsignal(signal.SIGINT)

    def interrupted(number: int, frame: Any) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, GIVE_UP_SECONDS)
        Display().display(line())
        signal.setitimer(signal.ITIMER_REAL, 0)
        if callable(before):
            before(number, frame)
            return
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
