# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks one answer to a probe: status, mark, EPP header, JSON shape, model, finish_reason, ``[DONE]``. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import EMBEDDINGS, OWN, POLICY_STATUSES, RESPONSES, Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import MARK_HEADER

EPP_HEADER = "x-went-into-resp-headers"
"""Response header that every EPP from v0.3.0 to v1.5.0 sets on what it handled (seen), so that FailOpen can't hide an EPP that is down; see
https://github.com/kubernetes-sigs/gateway-api-inference-extension/blob/v1.5.0/pkg/epp/handlers/response.go."""

REFUSED = "an error instead of an answer"
ERROR_EVENT = b'data: {"error"'
"""Event by which a server that has begun a stream with status 200 refuses the request (seen where more tokens were asked for than its context has)."""

BY_GATEWAY = "by the gateway itself"
"""What the reason of such an answer says."""
EPP_ERROR = b"inference error"
"""Beginning of an EPP's own error from v1.5.0 on; before, its 429 has no body and no header (seen), and can't be told from a gateway's. See
https://github.com/kubernetes-sigs/gateway-api-inference-extension/blob/v1.5.0/pkg/common/error/error.go."""

FINISHED = ("stop", "length")
ANSWERED = ("completed", "incomplete")
"""Values of ``status`` in an answer of /v1/responses that count as a success; a small max_output_tokens brings ``incomplete``."""


@dataclass(frozen=True)
class Answer:
    """How one probe was answered.

    :param status: HTTP status, 0 where no answer came. :param reason: None for a complete, valid answer, else one short sentence.
    :param sent: when the probe was sent, in seconds since the epoch. :param seconds: from then until the last byte, or until it failed.
    :param model: the model that it names, see :func:`model_named`. :param first: seconds until the first byte of its body, 0 where none came.
    :param by_gateway: whether the gateway itself refused the request, see :func:`by_gateway`.
    """

    status: int
    reason: str | None
    sent: float
    seconds: float
    model: str = ""
    first: float = 0.0
    by_gateway: bool = False

    @property
    def ok(self) -> bool:
        """Whether the answer counts as a success."""
        return self.reason is None

    @property
    def kind(self) -> str:
        """The reason without error texts, addresses and names, so that failures of one kind compare equal; ``none`` for a success."""
        reason = self.reason or "none"
        return f"status {self.status}" if reason.startswith("status ") else reason.partition(":")[0].partition(" (")[0]


@dataclass(frozen=True)
class StreamOutcome:
    """How one long stream was served.

    :param status: HTTP status, 0 where no answer came. :param reason: None where it ended with ``[DONE]`` or was still open when it was closed on purpose.
    :param opened: when its answer began, in seconds since the epoch; 0 where none began. :param seconds: from then to its end.
    :param closed: whether it was closed on purpose.
    """

    status: int
    reason: str | None
    opened: float
    seconds: float
    closed: bool = False


def judge(probe: Probe, status: int, headers: dict[str, str], body: bytes) -> str | None:
    """Return why an answer to a probe is a failure, or None for a success.

    The mark is looked at first: an answer with another mark than the probe's came by another rule, whatever its status says. A probe without a mark
    must be answered by a rule of the user's.

    :param headers: the response's, with their names in lower case.
    """
    fault = head_fault(probe, status, headers, body)
    if fault:
        return fault
    return _stream_fault(probe, body) if probe.target.stream else _unary_fault(probe, headers, body)


def head_fault(probe: Probe, status: int, headers: dict[str, str], body: bytes) -> str | None:
    """Return why an answer is a failure by its head alone (mark, status, EPP header), or None. Of a long stream nothing else is known when it begins."""
    if headers.get(MARK_HEADER) != probe.mark:
        return f"{'still answered by' if probe.mark is None else 'not answered by'} the probe route (status {status})"
    if status != 200:
        return f"status {status}{f' {BY_GATEWAY}:' if by_gateway(status, headers, body) else ''}{_detail(body)}"
    if probe.epp and EPP_HEADER not in headers:
        return "answered without the endpoint picker (it is down or not asked)"
    return None


def by_gateway(status: int, headers: dict[str, str], body: bytes) -> bool:
    """Tell whether an answer is a refusal of the gateway's own: it bears no sign of an endpoint picker or of a model server, whose errors are JSON.

    Such an answer tells nothing about either stack: a policy may count the requests of each backend by themselves, and v1's get all of them in the end.
    A picker before v1.5 that sheds looks the same, so a gate does not accept a v1 with more of them than v1alpha2 either.
    """
    if status not in POLICY_STATUSES or EPP_HEADER in headers or body.startswith(EPP_ERROR):
        return False
    try:
        json.loads(body)
    except ValueError:
        return True
    return False


def model_named(probe: Probe, headers: dict[str, str], body: bytes) -> str:
    """Return the model that an answer names, empty where it names none or no endpoint picker has handled it: then another backend may have answered."""
    if EPP_HEADER not in headers:
        return ""
    parts = [line[5:] for line in body.splitlines() if line.startswith(b"data:")] if probe.target.stream else [body]
    for part in parts:
        try:
            answer = json.loads(part)
        except ValueError:
            continue
        if isinstance(answer, dict) and isinstance(answer.get("model"), str):
            return answer["model"]
    return ""


def listed_models(status: int, headers: dict[str, str], body: bytes) -> list[str] | None:
    """Return the models in an answer of ``/v1/models``; None where it is no such answer, or no endpoint picker has handled it."""
    if status != 200 or EPP_HEADER not in headers:
        return None
    try:
        found = json.loads(body)["data"]
        return [entry["id"] for entry in found if isinstance(entry["id"], str)]
    except (ValueError, TypeError, LookupError):
        return None


def _detail(body: bytes) -> str:
    """The start of a gateway's or server's error text. Never of a 200: that would be model output."""
    text = " ".join(body[:120].decode("utf-8", "replace").split())
    return f" {text}" if text else " with an empty body"


def _unary_fault(probe: Probe, headers: dict[str, str], body: bytes) -> str | None:
    if probe.target.method == "GET" and "json" not in headers.get("content-type", ""):
        return None  # metrics are text, and a server that is well answers /health with an empty body
    try:
        answer = json.loads(body)
    except ValueError:
        return "200 with a body that is not JSON"
    return None if probe.target.endpoint == OWN else _shape_fault(probe, answer)


def _stream_fault(probe: Probe, body: bytes) -> str | None:
    events = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    if not events or events[-1] != b"[DONE]":
        return "stream cut before [DONE]"
    try:
        chunks = [json.loads(event) for event in events[:-1]]
    except ValueError:
        return "stream with an event that is not JSON"
    if probe.target.endpoint == OWN:
        return None
    named = [(chunk, choice) for chunk in chunks if (choice := _first(chunk, "choices")) is not None]
    if not named:
        return "stream without choices"
    finish = next((choice["finish_reason"] for _chunk, choice in reversed(named) if choice.get("finish_reason")), None)
    return _model_fault(probe, named[0][0]) or _finish_fault(finish)


def _shape_fault(probe: Probe, answer: Any) -> str | None:
    field = {EMBEDDINGS: "data", RESPONSES: "output"}.get(probe.target.endpoint, "choices")
    found = _first(answer, field)
    if found is None:
        return f"200 without {field}"
    if probe.target.endpoint == EMBEDDINGS:
        return _model_fault(probe, answer) or (None if found.get("embedding") else "200 with an empty embedding")
    if probe.target.endpoint == RESPONSES:
        return _model_fault(probe, answer) or (None if answer.get("status") in ANSWERED else f"status of the response is {answer.get('status')}")
    return _model_fault(probe, answer) or _finish_fault(found.get("finish_reason"))


def _first(answer: Any, field: str) -> dict[str, Any] | None:
    """The first entry of a list in an answer, None where it is not of that shape."""
    found = answer.get(field) if isinstance(answer, dict) else None
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else None


def _model_fault(probe: Probe, answer: dict[str, Any]) -> str | None:
    model = answer.get("model")
    if probe.answers and not (isinstance(model, str) and model in probe.answers):
        return f"answer names model {model}, asked for {probe.target.model}"
    return None


def _finish_fault(finish: Any) -> str | None:
    return None if finish in FINISHED else f"finish_reason is {finish}"
