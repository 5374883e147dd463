# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the load sends and what a complete, valid answer is. Pure: no sockets, no clock.

One judge serves vegeta's results and our own client's, so that "lost" means the same thing in both.
"""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
STREAMING = (COMPLETIONS, CHAT)
FINISHED = ("length", "stop")
DONE = "[DONE]"


@dataclass(frozen=True)
class Target:
    """One thing that the load asks for: a rule of a route, and for model servers a model and an endpoint.

    endpoint is the path that the model server sees (COMPLETIONS, CHAT, EMBEDDINGS), or "" for a plain GET.
    accepts are the names that the answer's `model` may carry: EPP v0.3.0 answers an alias with its
    target's name, EPP v1.5.0 with the alias itself.
    """

    name: str
    rule: str
    url: str
    host: str
    headers: tuple[tuple[str, str], ...] = ()
    endpoint: str = ""
    model: str = ""
    accepts: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """POST to a model, GET otherwise."""
        return "POST" if self.endpoint else "GET"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return asdict(self)


def request_body(target: Target, load_id: str, tokens: int, stream: bool = False) -> bytes:
    """The request's JSON. The prompt begins with the id: equal prompts would stick to one pod (prefix caching).

    ignore_eos asks for exactly `tokens` tokens, so that a stream lasts as long as it was planned to.
    """
    if not target.endpoint:
        return b""
    prompt = f"{load_id[::-1]} counts what a migration may not lose"
    if target.endpoint == EMBEDDINGS:
        return json.dumps({"model": target.model, "input": prompt}).encode()
    body: dict[str, Any] = {"model": target.model, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    if target.endpoint == CHAT:
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    if stream:
        body["stream"] = True
    return json.dumps(body).encode()


def judge(target: Target, status: int, body: bytes) -> str | None:
    """None for a complete, valid answer, else the reason in a few words (a key for counting, so no ids in it)."""
    if status != 200:
        return f"status {status}"
    if not target.endpoint:
        return None
    try:
        answer = json.loads(body)
    except ValueError:
        return "not JSON"
    if not isinstance(answer, dict) or answer.get("object") != _object(target, stream=False):
        return "wrong JSON shape"
    wrong = _wrong_model(target, answer)
    if wrong:
        return wrong
    if target.endpoint == EMBEDDINGS:
        return _judge_embedding(answer.get("data"))
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return "wrong JSON shape"
    if choices[0].get("finish_reason") not in FINISHED:
        return "no finish_reason"
    return None if _text(target, choices[0], "message") else "empty content"


def _judge_embedding(data: Any) -> str | None:
    """One input gives one vector of numbers."""
    if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], dict):
        return "wrong JSON shape"
    vector = data[0].get("embedding")
    return None if isinstance(vector, list) and vector and all(isinstance(value, (int, float)) for value in vector) else "empty content"


def judge_stream(target: Target, status: int, raw: bytes) -> tuple[str | None, bool]:
    """(reason or None, whether it ended with [DONE]) for the whole body of a server-sent event stream."""
    if status != 200:
        return f"status {status}", False
    events = [line[5:].strip() for line in raw.decode(errors="replace").splitlines() if line.startswith("data:")]
    done = bool(events) and events[-1] == DONE
    if not done:
        return "cut before [DONE]", False
    finished, text = False, ""
    for event in events[:-1]:
        try:
            chunk = json.loads(event)
        except ValueError:
            return "event is not JSON", done
        wrong = _wrong_model(target, chunk) if isinstance(chunk, dict) else "wrong JSON shape"
        if wrong:
            return wrong, done
        for choice in chunk.get("choices") or []:
            text += _text(target, choice, "delta")
            finished = finished or choice.get("finish_reason") in FINISHED
    if not finished:
        return "no finish_reason", done
    return (None if text else "empty content"), done


def _object(target: Target, stream: bool) -> str:
    if target.endpoint == CHAT:
        return "chat.completion.chunk" if stream else "chat.completion"
    return "list" if target.endpoint == EMBEDDINGS else "text_completion"


def _wrong_model(target: Target, answer: dict[str, Any]) -> str | None:
    return None if answer.get("model") in target.accepts else "wrong model"


def _text(target: Target, choice: dict[str, Any], chat_field: str) -> str:
    """The generated text of one choice; chat answers carry it in message, chat streams in delta."""
    if target.endpoint != CHAT:
        return str(choice.get("text") or "")
    part = choice.get(chat_field)
    return str(part.get("content") or "") if isinstance(part, dict) else ""
