# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C: a line first, then what would have been done without it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils import interrupts


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(interrupts, "Display", lambda: SimpleNamespace(display=lines.append))
    monkeypatch.setattr(interrupts, "written", lambda line, pid: False)
    return lines


def test_the_line_comes_before_what_ansible_does(said: list[str]) -> None:
    done: list[list[str]] = []
    before = signal.signal(signal.SIGINT, lambda *_arguments: done.append(list(said)))
    try:
        with interrupts.saying(lambda: "v1 has 50 %"):
            os.kill(os.getpid(), signal.SIGINT)
        assert done == [["v1 has 50 %"]]
        os.kill(os.getpid(), signal.SIGINT)
        assert said == ["v1 has 50 %"] and len(done) == 2, "after the block nothing is said"
    finally:
        signal.signal(signal.SIGINT, before)


def test_without_another_handler_it_is_an_interrupt(said: list[str]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts.saying(lambda: "here"):
            os.kill(os.getpid(), signal.SIGINT)
        assert said == ["here"] and signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_line_that_is_just_being_handed_on_is_waited_for(said: list[str]) -> None:
    """Its queue's lock is held then, in this very thread."""
    queue, done = multiprocessing.SimpleQueue(), list[int]()
    before = signal.signal(signal.SIGINT, lambda *_arguments: done.append(len(said)))

    class Slow:
        def __reduce__(self) -> tuple[type, tuple[()]]:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            assert said == [] and done == [], "nothing is said in the middle"
            return (list, ())

    try:
        with interrupts.saying(lambda: "here"):
            queue.put(Slow())
            until = time.monotonic() + 5
            while not done and time.monotonic() < until:
                time.sleep(0.01)
        assert said == ["here"] and done == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_line_goes_to_the_output_of_ansible_playbook_itself() -> None:
    """A worker's own goes nowhere."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as playbook:
        assert interrupts.written("here", playbook.pid)
        assert playbook.communicate("\n")[0] == "\nhere\n"
    assert not interrupts.written("here", playbook.pid), "it is gone"
