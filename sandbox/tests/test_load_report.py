# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load's pure parts: what is lost, which streams count, and whether the books balance."""
from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from igw_sandbox.load_answer import CHAT, COMPLETIONS, EMBEDDINGS, Target, judge, judge_stream, request_body
from igw_sandbox.load_report import Record, Write, counted_streams, cross_check, max_gap, percentile, summarise
from igw_sandbox.load_vegeta import result_record, target_line
from igw_sandbox.load_writes import converged_writes, read_lines

UNARY = Target(name="t", rule="ns/route/0", url="http://127.0.0.1:1/v1/completions", host="h", endpoint=COMPLETIONS, model="alias", accepts=("alias", "target"))
CHATTING = replace(UNARY, endpoint=CHAT)
EMBEDDING = replace(UNARY, endpoint=EMBEDDINGS)
PLAIN = replace(UNARY, endpoint="", model="", accepts=())


def answer(**changes: Any) -> dict[str, Any]:
    """A valid completion with some fields changed."""
    return {"object": "text_completion", "model": "alias", "choices": [{"text": "x", "finish_reason": "length"}], **changes}


def events(*chunks: object, done: bool = True) -> bytes:
    """A server-sent event stream."""
    lines = [f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks]
    return ("".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()


@pytest.mark.parametrize(("target", "status", "body", "reason"), [
    (UNARY, 200, answer(), None),
    (UNARY, 200, answer(model="target"), None),
    (UNARY, 200, answer(model="other"), "wrong model"),
    (UNARY, 200, answer(object="chat.completion"), "wrong JSON shape"),
    (UNARY, 200, answer(choices=[]), "wrong JSON shape"),
    (UNARY, 200, answer(choices=[{"text": "x"}]), "no finish_reason"),
    (UNARY, 200, answer(choices=[{"text": "", "finish_reason": "stop"}]), "empty content"),
    (UNARY, 200, [], "wrong JSON shape"),
    (UNARY, 429, answer(), "status 429"),
    (UNARY, 404, answer(), "status 404"),
    (CHATTING, 200, answer(object="chat.completion", choices=[{"message": {"content": "x"}, "finish_reason": "stop"}]), None),
    (CHATTING, 200, answer(object="chat.completion", choices=[{"message": None, "finish_reason": "stop"}]), "empty content"),
    (EMBEDDING, 200, {"object": "list", "model": "alias", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}]}, None),
    (EMBEDDING, 200, {"object": "list", "model": "other", "data": [{"embedding": [0.5]}]}, "wrong model"),
    (EMBEDDING, 200, {"object": "list", "model": "alias", "data": []}, "wrong JSON shape"),
    (EMBEDDING, 200, {"object": "list", "model": "alias", "data": [{"embedding": []}]}, "empty content"),
    (EMBEDDING, 200, {"object": "list", "model": "alias", "data": [{"embedding": [None]}]}, "empty content"),
    (EMBEDDING, 200, answer(), "wrong JSON shape"),
    (PLAIN, 200, {}, None),
    (PLAIN, 302, {}, "status 302"),
])
def test_only_a_complete_valid_answer_is_not_lost(target: Target, status: int, body: object, reason: str | None) -> None:
    """Every way in which an answer can be incomplete has its own reason."""
    assert judge(target, status, json.dumps(body).encode()) == reason


def test_half_an_answer_is_lost() -> None:
    """A body that ends early is no JSON."""
    assert judge(UNARY, 200, json.dumps(answer()).encode()[:-3]) == "not JSON"


FIRST = {"model": "alias", "choices": [{"text": "a", "finish_reason": None}]}
LAST = {"model": "alias", "choices": [{"text": "", "finish_reason": "length"}]}


@pytest.mark.parametrize(("raw", "reason", "done"), [
    (events(FIRST, LAST), None, True),
    (events(FIRST, LAST, done=False), "cut before [DONE]", False),
    (events(FIRST), "no finish_reason", True),
    (events(LAST), "empty content", True),
    (events(FIRST, "{", LAST), "event is not JSON", True),
    (events({**FIRST, "model": "other"}, LAST), "wrong model", True),
    (events("[DONE]", FIRST, done=False), "cut before [DONE]", False),
    (b"", "cut before [DONE]", False),
])
def test_a_stream_is_whole_or_lost(raw: bytes, reason: str | None, done: bool) -> None:
    """[DONE] must come, and come last."""
    assert judge_stream(UNARY, 200, raw) == (reason, done)


def test_a_refused_stream_is_cut() -> None:
    """A status other than 200 carries no [DONE]."""
    assert judge_stream(UNARY, 503, events(FIRST, LAST)) == ("status 503", False)


def test_an_embedding_is_asked_for_with_an_input_alone() -> None:
    """max_tokens and the like mean nothing there, and a strict server refuses them."""
    body = json.loads(request_body(EMBEDDING, "l0-7", 2))
    assert set(body) == {"model", "input"} and body["input"].startswith("7-0l")


def test_prompts_differ_in_their_first_characters() -> None:
    """Equal beginnings would pin every request to one pod (prefix caching)."""
    prompts = {json.loads(request_body(UNARY, f"run-cfu-{number}", 2))["prompt"][:1] for number in range(10)}
    assert len(prompts) == 10
    assert request_body(PLAIN, "run-cfu-1", 2) == b""


def record(number: int = 0, **changes: Any) -> Record:
    """A good unary request of one second."""
    return replace(Record(id=f"run-vf-0-{number}", source="vegeta-fresh", kind="unary", target="t", rule="ns/route/0",
                          start=float(number), end=number + 1.0, status=200, ok=True), **changes)


def line(of: Record, **changes: Any) -> dict[str, Any]:
    """The access log line of a request."""
    return {"load_id": of.id, "status": of.status, **changes}


def test_books_that_balance() -> None:
    """Requests without an id, or of another run, are not ours to count."""
    records = [record(1), record(2, status=0, ok=False)]
    access = [line(records[0]), line(records[1], status=200), {"load_id": None, "status": 500}, {"load_id": "other-vf-0-1", "status": 200}]
    assert cross_check(records, access, "run") == []


@pytest.mark.parametrize(("access", "sentence"), [
    ([], "in no access log"),
    ([line(record(1)), line(record(1))], "more than once: something retried"),
    ([line(record(1)), line(record(2))], "sent by no client"),
    ([line(record(1), status=503)], "another status"),
])
def test_books_that_do_not(access: list[dict[str, Any]], sentence: str) -> None:
    """Each kind of disagreement is named, with an example."""
    (problem,) = cross_check([record(1)], access, "run")
    assert sentence in problem and "run-vf-0-" in problem


def test_an_id_that_was_journaled_twice_is_a_problem() -> None:
    """Two records of one id would hide a request."""
    assert "journaled more than once" in cross_check([record(1), record(1)], [line(record(1))], "run")[0]


WRITE = Write(route="ns/route", generation=2, written=100.0, converged=103.0)


@pytest.mark.parametrize(("start", "end", "done", "rule", "counts"), [
    (90.0, 110.0, True, "ns/route/0", True),
    (99.8, 110.0, True, "ns/route/0", False),  # may have begun after the write: a watch shows it late
    (90.0, 102.0, True, "ns/route/0", False),  # ended before the last instance took it
    (90.0, 101.0, False, "ns/route/0", True),  # cut by the write: this is what must not drop out
    (90.0, 99.0, False, "ns/route/0", False),
    (90.0, 110.0, True, "ns/route-two/0", False),
])
def test_which_streams_count(start: float, end: float, done: bool, rule: str, counts: bool) -> None:
    """Begun before a write to the user's route, ended after the last gateway instance took it."""
    stream = record(kind="stream", start=start, end=end, done=done, rule=rule)
    assert bool(counted_streams([stream], [WRITE])) == counts
    assert not counted_streams([replace(stream, kind="unary")], [WRITE])


def test_a_stream_counts_once_and_never_without_the_gateways_word() -> None:
    """Two writes during one stream are one stream; a write that never converged counts nothing."""
    stream = record(kind="stream", start=90.0, end=120.0, done=True)
    assert counted_streams([stream], [WRITE, replace(WRITE, generation=3, written=105.0, converged=106.0)]) == [stream]
    assert counted_streams([stream], [replace(WRITE, converged=None)]) == []


def seen(generation: int, when: float, first: bool = False) -> dict[str, Any]:
    """One state of the route as the watch showed it."""
    return {"route": "ns/route", "generation": generation, "time": when, "first": first}


def test_convergence_waits_for_the_last_instance() -> None:
    """An instance that skipped a generation took it with the next."""
    states = [seen(1, 0.0, first=True), seen(2, 10.0), seen(3, 20.0)]
    took = [{"time": 11.0, "instance": 0, "routes": {"ns/route": 2}}, {"time": 21.0, "instance": 0, "routes": {"ns/route": 3}},
            {"time": 22.5, "instance": 1, "routes": {"ns/route": 3, "ns/other": 9}}]
    assert [write.converged for write in converged_writes(states, took, 2)] == [22.5, 22.5]
    assert [write.converged for write in converged_writes(states, took, 3)] == [None, None]
    assert [write.converged for write in converged_writes(states, took[:2], 1)] == [11.0, 21.0]
    assert [write.converged for write in converged_writes(states, [took[0], {**took[1], "problem": "refused"}], 1)] == [11.0, None]


def test_half_a_line_is_left_for_later(tmp_path: Any) -> None:
    """A log that is being written may end in the middle of a line."""
    path = tmp_path / "log"
    assert read_lines(path) == []
    path.write_text('{"a": 1}\n{"a":')
    assert read_lines(path) == [{"a": 1}]


def test_gap_is_by_target_and_has_edges() -> None:
    """An outage of one target is not hidden by the other's answers, nor by the beginning or the end of the load."""
    records = [record(number, target="a") for number in range(10)] + [record(2, target="b"), record(9, target="b")]
    assert max_gap(records, 0.0, 10.0) == 7.0
    assert max_gap([record(0, ok=False)], 0.0, 10.0) == 10.0


def test_percentile_is_the_nearest_rank() -> None:
    """99 of 100 are at or below it."""
    assert percentile([float(value) for value in range(1, 101)], 0.99) == 99.0
    assert percentile([], 0.99) == 0.0


def test_a_summary_of_a_good_and_of_a_slow_load() -> None:
    """Too few arrivals for the rate that was asked for mean that the loop was not open."""
    records = [record(number) for number in range(10)] + [record(10, kind="stream", done=False, ok=False, reason="cut before [DONE]")]
    access = [line(one) for one in records]
    good = summarise(records[:10], [], access[:10], "run", 0.0, 10.0, rate=1.0)
    assert good["ok"] and good["problems"] == [] and good["requests"] == 10 and good["logged"] == 10
    bad = summarise(records, [WRITE], access, "run", 0.0, 10.0, rate=2.0)
    assert not bad["ok"] and bad["lost"] == bad["cut"] == bad["streams_sent"] == 1 and bad["reasons"] == {"cut before [DONE]": 1}
    assert any("not open loop" in problem for problem in bad["problems"])
    assert any("never seen to be taken" in problem for problem in summarise(
        records[:10], [replace(WRITE, converged=None)], access[:10], "run", 0.0, 10.0, rate=1.0)["problems"])
    assert not summarise([], [], [], "run", 0.0, 10.0, rate=0.0)["ok"], "no request proves nothing"


def test_vegeta_carries_the_id_where_no_server_sees_it() -> None:
    """The fragment names the request in the result; the header names it to the gateway."""
    sent = json.loads(target_line(UNARY, "run-vf-0-7", 2))
    assert sent["url"].endswith("/v1/completions#run-vf-0-7") and sent["header"]["x-load-id"] == ["run-vf-0-7"]
    assert json.loads(base64.b64decode(sent["body"]))["model"] == "alias"
    result = {"url": sent["url"], "code": 200, "latency": 250_000_000, "timestamp": "2026-01-02T03:04:05.123456789Z",
              "body": base64.b64encode(json.dumps(answer()).encode()).decode()}
    read = result_record(result, {"0": UNARY}, "vegeta-fresh")
    assert read and read.ok and read.id == "run-vf-0-7" and read.end - read.start == pytest.approx(0.25)
    assert result_record({**result, "url": ""}, {"0": UNARY}, "vegeta-fresh") is None
    failed = result_record({**result, "code": 0, "body": None, "error": 'Post "http://127.0.0.1:1/": read tcp: connection reset by peer'}, {"0": UNARY}, "s")
    assert failed and not failed.ok and failed.reason == "no answer: connection reset by peer"
