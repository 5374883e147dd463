# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Gateways are asked before a plan is made."""

from __future__ import annotations

from collections import Counter

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import contact, plan
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan.contact import Contact
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Address, Probe, ProbeTarget

from tests.unit.helpers.estate_changes import routed_by_model
from tests.unit.helpers.probing_fakes import BAD, OK, Said
from tests.unit.helpers.worlds import World, choose


class Caller:
    """Remembers what it was asked, and answers as a test says. ``refusing``: models that a picker refuses though a server lists them."""

    def __init__(self, *lists: list[str] | None, fault: str | None = None, refusing: str = "") -> None:
        self.connected: Counter[str] = Counter()
        self.lists, self.asked, self.fault, self.refusing = list(lists), list[ProbeTarget](), fault, refusing
        self.sent: list[str] = []

    def send(self, probe: Probe) -> Said:
        self.sent.append(probe.target.model)
        return BAD if probe.target.model in self.refusing else OK

    def connect(self, place: Address, hostname: str) -> str | None:
        self.connected[f"{place.host}:{place.port} {hostname}"] += 1
        return self.fault

    def served_models(self, target: ProbeTarget) -> list[str] | None:
        self.asked.append(target)
        return self.lists[(len(self.asked) - 1) % len(self.lists)]


def undeclared(demo: World, path: str = "/v1") -> None:
    demo.remove("InferenceModel")
    demo.get("HTTPRoute")["spec"]["rules"][0]["matches"] = [{"path": {"type": "PathPrefix", "value": path}}]


def learnt(demo: World, caller: Caller, **chosen: object) -> list[str]:
    """The models in the plan after what the pool lists was learnt."""
    made = plan.make(demo.estate(), Contact(caller).learnt(demo.estate(), choose(**chosen)))
    return [model["name"] for model in made["pools"][0]["models"]]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([["b", "a"]], ["a", "b"]),
        ([["a", "b"], ["a"], ["a", "c"]], ["a"]),
        ([["a", "b"], ["a"], None], []),
        ([["a"], ["b"]], []),
        ([None], []),
        ([[]], []),
    ],
)
def test_a_pool_without_models_is_asked_for_them(demo: World, lists: list[list[str] | None], expected: list[str]) -> None:
    """Each pod has a list of its own: what only some of them list can't be demanded."""
    undeclared(demo)
    caller = Caller(*lists)
    assert learnt(demo, caller) == expected
    whole = None not in lists
    assert len(caller.asked) == (contact.LISTS if whole else lists.index(None) + 1) and {target.path for target in caller.asked} == {"/v1/models"}
    assert sorted(caller.sent) == expected, "each is asked once"


def test_a_model_that_the_picker_refuses_is_not_learnt(demo: World) -> None:
    """Pickers of v0.3 want an InferenceModel for each."""
    undeclared(demo)
    assert learnt(demo, Caller(["a", "b"], refusing="a")) == ["b"]


def test_a_pool_is_asked_by_a_few_ways_that_can_be_reached(demo: World) -> None:
    undeclared(demo)
    demo.get("HTTPRoute")["spec"]["hostnames"] = [f"h{number}.example.com" for number in range(9)]
    caller = Caller(None)
    assert learnt(demo, caller) == [] and len(caller.asked) == contact.WAYS and caller.connected == {"127.0.0.1:8080 ": 1}
    away = Caller(["a"], fault="no answer within 10 s")
    assert learnt(demo, away) == [] and away.asked == [] and away.connected == {"127.0.0.1:8080 ": 1}


def test_nothing_is_asked_where_models_are_declared_or_said_or_no_rule_takes_the_request(demo: World) -> None:
    caller = Caller(["x"])
    assert "x" not in learnt(demo, caller)
    undeclared(demo)
    assert learnt(demo, caller, models={"vllm-llama3-8b-instruct-preview": ["said"]}) == ["said"]
    undeclared(demo, "/v1/completions")
    assert learnt(demo, caller) == [] and caller.asked == []


def test_said_models_are_beside_the_declared_ones(demo: World) -> None:
    (declared, said) = plan.make(demo.estate(), choose(models={"default/vllm-llama3-8b-instruct-preview": ["more", "food-review-1"]}))["pools"][0]["models"][1:]
    assert (declared["name"], declared["objective"]) == ("food-review-1", "food-review")
    assert said == {"name": "more", "answer": "more", "alpha_answers": ["more"], "objective": None, "criticality": None, "priority": 0}


def test_each_address_is_connected_to_once_and_by_tls_for_each_hostname(demo: World) -> None:
    caller = Caller(fault="connection refused")
    spec = demo.get("HTTPRoute")["spec"]
    spec["hostnames"] = ["a.example.com", "b.example.com"]
    found = Contact(caller).unreachable(plan.context_of(demo.estate(), choose()))
    assert caller.connected == {"127.0.0.1:8080 ": 1} and set(found.values()) == {"connection refused"}
    demo.get("Gateway")["spec"]["listeners"][0]["protocol"] = "HTTPS"
    caller = Caller()
    assert Contact(caller).unreachable(plan.context_of(demo.estate(), choose())) == {}
    assert caller.connected == {"127.0.0.1:8080 a.example.com": 1, "127.0.0.1:8080 b.example.com": 1}


def test_an_address_that_is_not_reached_blocks_and_may_be_accepted(demo: World) -> None:
    for accept, blocked in ((frozenset(), ["gateway-unreachable"]), (frozenset({"gateway-unreachable"}), [])):
        context = plan.context_of(demo.estate(), choose(accept=accept))
        context.unreachable.update(Contact(Caller(fault="connection refused")).unreachable(context))
        made = plan.of(context)
        assert made["blocked"] == blocked
        (found,) = [entry for entry in made["findings"] if entry["code"] == "gateway-unreachable"]
        assert found["object"] == "Gateway default/inference-gateway"
        assert found["message"] == "no connection to 127.0.0.1:8080 can be opened from where the modules run: connection refused."


def test_the_model_of_a_rule_is_asked_for_once_where_nobody_declares_it(demo: World) -> None:
    """The rule says it, so it is not looked for in a list; a picker that does not know it refuses it."""
    routed_by_model(demo, "strange")
    caller = Caller(["x"])
    assert learnt(demo, caller)[-1] == "strange" and (caller.sent, caller.asked) == (["strange"], [])
    assert "strange" not in learnt(demo, Caller(refusing="strange"))
    demo.remove("InferenceModel")
    assert learnt(demo, Caller(["x"])) == ["strange"]
    assert learnt(demo, Caller(), models={"vllm-llama3-8b-instruct-preview": ["strange", "said"]}) == ["said", "strange"]
    away = Caller(fault="no answer within 10 s")
    assert learnt(demo, away) == [] and away.sent == []


def test_nothing_is_asked_where_the_model_of_a_rule_is_declared(demo: World) -> None:
    routed_by_model(demo)
    caller = Caller()
    assert "food-review-1" in learnt(demo, caller) and caller.sent == caller.asked == []
