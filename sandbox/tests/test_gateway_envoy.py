# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway on real Envoys with hand-made snapshots and pods that are small HTTP servers; no API server, no endpoint picker."""
from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from igw_sandbox.gateway import envoyroutes
from igw_sandbox.gateway.model import Entry
from igw_sandbox.gateway.settings import ALPHA_GROUP, V1_GROUP
from sandbox.tests.gateway_fakes import (
    PORT,
    SUBNET,
    Bench,
    alpha_pool,
    bench,
    fake_pod,
    gateway,
    health_policy,
    pod,
    policy,
    reference,
    route,
    service,
    v1_pool,
)

POD = f"{SUBNET}.1.1"
OTHER_POD = f"{SUBNET}.1.2"
BASE: dict[str, Any] = {
    "Gateway": [gateway()],
    "Pod": [pod("p", POD, "m"), pod("q", OTHER_POD, "n")],
    "Service": [service("s", "m"), service("t", "n"), service("epp", "epp", 9002, 9002)],
    "AlphaPool": [alpha_pool("closed", "m", "epp"), alpha_pool("open", "m", "epp", failureMode="FailOpen")],
    "Pool": [v1_pool("open", "n", "epp", failureMode="FailOpen")],
    "HealthCheckPolicy": [health_policy("hs", "", "Service", "s"), health_policy("ht", "", "Service", "t"),
                          health_policy("hc", ALPHA_GROUP, "InferencePool", "closed"), health_policy("ho", ALPHA_GROUP, "InferencePool", "open"),
                          health_policy("hv", V1_GROUP, "InferencePool", "open")],
}
S, T = [reference("s")], [reference("t")]


def at(path: str, *references: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A rule for a path prefix."""
    return {"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": list(references), **more}


def rewrite(kind: str, value: str, **more: Any) -> dict[str, Any]:
    """A URLRewrite filter whose path modifier is of this kind."""
    return {"type": "URLRewrite", "urlRewrite": {"path": {"type": kind, kind[0].lower() + kind[1:]: value}, **more}}


def scenario(play: Callable[[Bench], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a test's play against two Envoys and two pods."""

    async def run() -> None:
        async with fake_pod(POD), fake_pod(OTHER_POD), bench(**options) as world:
            await play(world)

    asyncio.run(run())


def test_filters_and_matches_as_the_api_defines_them() -> None:
    async def play(world: Bench) -> None:
        def change(kind: str, **more: Any) -> dict[str, Any]:
            return {"type": kind, kind[0].lower() + kind[1:]: more}

        rules = [
            at("/v1", *S, filters=[change("RequestHeaderModifier", set=[{"name": "x-team", "value": "search"}], remove=["x-secret"]),
                                   change("ResponseHeaderModifier", add=[{"name": "x-mark", "value": "v1"}])]),
            {"matches": [{"path": {"value": "/v1"}, "headers": [{"name": "x-marked", "value": "yes"}]}], "backendRefs": T},
            at("/plain", *S, filters=[rewrite("ReplacePrefixMatch", "/v1")]),
            at("/base", *S, filters=[rewrite("ReplacePrefixMatch", "/", hostname="in.side")]),
            at("/full", *S, filters=[rewrite("ReplaceFullPath", "/new")]),
            at("/away", filters=[{"type": "RequestRedirect", "requestRedirect": {"hostname": "far.away", "statusCode": 301}}]),
            at("/own", {**S[0], "filters": [change("RequestHeaderModifier", add=[{"name": "x-share", "value": "s"}])]}),
        ]
        world.apply(**BASE, HTTPRoute=[route(rules=rules, hostnames=["llm.example.com"])])
        await world.settle()
        await world.until_status(200, "/v1/x")
        await world.until_status(200, "/v1/x", **{"x-marked": "yes"})

        status, headers, body = await world.get("/v1/x?q=1", **{"x-secret": "1", "x-gateway-destination-endpoint": "1.2.3.4:5"})
        sent = {name.lower(): value for name, value in body["headers"].items()}
        assert (status, body["path"], sent["x-team"], headers["x-mark"]) == (200, "/v1/x?q=1", "search", "v1")
        assert not {"x-secret", "x-gateway-destination-endpoint"} & set(sent)
        assert (await world.get("/v1/x", **{"x-marked": "yes"}))[2]["pod"] == OTHER_POD
        assert (await world.get("/v1", host=f"llm.example.com:{PORT}"))[0] == 200
        assert (await world.get("/plain/models?a=b"))[2]["path"] == "/v1/models?a=b"
        found = (await world.get("/base/x/y"))[2]
        assert (found["path"], found["host"]) == ("/x/y", "in.side")
        assert (await world.get("/base"))[2] == {"path": "/"}
        assert (await world.get("/full/x?a=b"))[2]["path"] == "/new?a=b"
        status, headers, _body = await world.get("/away/x")
        assert (status, headers["location"]) == (301, "http://far.away/away/x")
        assert {name.lower(): value for name, value in (await world.get("/own"))[2]["headers"].items()}["x-share"] == "s"
        assert await world.status("/v1beta") == 404
        assert await world.status("/v1", host="another.example.com") == 404

    scenario(play)


def test_an_invalid_reference_answers_500_for_its_share() -> None:
    """Red for nothing: one in 66 million, 200 fair coins of which 60 or fewer fall one way."""
    async def play(world: Bench) -> None:
        rules = [at("/half", reference("s", weight=1), reference("gone", V1_GROUP, 1)), at("/all", reference("gone", V1_GROUP)),
                 at("/zero", reference("s", weight=0)), at("/none"), at("/broken", *S, filters=[{"type": "ExtensionRef"}]), at("/s", *S)]
        world.apply(**BASE, HTTPRoute=[route(rules=rules)])
        await world.settle()
        await world.until_status(200, "/s")
        counted = Counter([await world.status("/half") for _number in range(200)])
        assert set(counted) == {200, 500} and 60 < counted[500] < 140
        for path in ("/all", "/zero", "/none", "/broken"):
            assert {await world.status(path) for _number in range(6)} == {500}, path

    scenario(play)


def test_fresh_connections_reach_both_instances_and_every_request_is_logged() -> None:
    """Red for nothing: one in 6 million, 60 fair coins of which 10 or fewer fall one way."""
    async def play(world: Bench) -> None:
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/", *S)])])
        await world.settle()
        await world.until_status(200, "/x")
        for number in range(60):
            assert (await world.get("/x", **{"x-load-id": f"run-{number}"}))[0] == 200
        await asyncio.sleep(0.5)
        lines = [line for line in world.access() if (line["load_id"] or "").startswith("run-")]
        assert sorted(line["load_id"] for line in lines) == sorted(f"run-{number}" for number in range(60))
        assert min(Counter(line["instance"] for line in lines).values()) > 10
        wanted = {"method": "GET", "path": "/x", "host": "llm.example.com", "status": 200, "flags": "-", "route": "default/route/0",
                  "backend": "Service/default/s:80"}
        assert {name: lines[0][name] for name in wanted} == wanted
        assert lines[0]["bytes"] > 0 and lines[0]["duration_ms"] >= 0 and lines[0]["time"].endswith("Z")

    scenario(play)


def test_a_new_backend_answers_503_until_it_is_warm_in_each_instance_and_is_forgotten_when_nothing_refers_to_it() -> None:
    async def play(world: Bench) -> None:
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/s", *S), at("/t", *T)])])
        await world.settle()
        await world.until_status(200, "/s")
        await world.until_status(200, "/t")
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/s", *S)], generation=2)])
        await world.settle()
        assert [instance.cold() for instance in world.fleet.instances] == [[], []]
        started = time.monotonic()
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/s", *S), at("/t", *T)], generation=3)])
        await world.settle()
        assert [instance.cold() for instance in world.fleet.instances] == [["Service/default/t:80"]] * 2
        assert {await world.status("/t") for _number in range(10)} == {503}
        await world.until_status(200, "/t")
        assert time.monotonic() - started > 1.0
        assert await world.status("/s") == 200

    scenario(play, warm=[1.0, 1.2])


def test_a_weight_of_zero_warms_a_backend() -> None:
    async def play(world: Bench) -> None:
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/s", reference("s", weight=1), reference("t", weight=0))])])
        await world.settle()
        await asyncio.sleep(0.8)
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/s", reference("s", weight=0), reference("t", weight=1))], generation=2)])
        await world.settle()
        assert {await world.status("/s") for _number in range(20)} == {200}
        assert (await world.get("/s"))[2]["pod"] == OTHER_POD

    scenario(play, warm=[0.5, 0.5])


def test_health_checks_follow_the_policy_of_the_group() -> None:
    async def play(world: Bench) -> None:
        """Without a policy of its own the v1 pool is asked for / and fails; the alpha pool's policy does not help it."""
        rules = [at("/alpha", reference("open", ALPHA_GROUP)), at("/v1", reference("open", V1_GROUP))]
        policies = BASE["HealthCheckPolicy"]
        without = [entry for entry in policies if entry["metadata"]["name"] != "hv"]
        world.apply(**{**BASE, "HealthCheckPolicy": without}, HTTPRoute=[route(rules=rules)])
        await world.settle()
        await world.until_status(200, "/alpha")
        await asyncio.sleep(0.5)
        assert {await world.status("/v1") for _number in range(10)} == {503}
        world.apply(**BASE, HTTPRoute=[route(rules=rules)])
        await world.until_status(200, "/v1")
        older = health_policy("older", V1_GROUP, "InferencePool", "open", path="/", created="2020-01-01T00:00:00Z")
        world.apply(**{**BASE, "HealthCheckPolicy": [*policies, older]}, HTTPRoute=[route(rules=rules)])
        await world.until_status(503, "/v1")

    scenario(play)


def test_a_pod_that_turns_unhealthy_gets_no_more_requests_and_comes_back() -> None:
    async def run() -> None:
        async with fake_pod(POD) as fake, bench() as world:
            world.apply(**BASE, HTTPRoute=[route(rules=[at("/", *S)])])
            await world.settle()
            await world.until_status(200, "/x")
            fake.health = 500
            await world.until_status(503, "/x")
            fake.health = 200
            await world.until_status(200, "/x")

    asyncio.run(run())


async def read_stream(world: Bench, path: str) -> tuple[int, bool]:
    """(events, whether [DONE] came) of one stream."""
    events = 0
    try:
        async with world.session.get(f"http://{SUBNET}.0.10:{PORT}{path}", headers={"Host": "llm.example.com"}) as answer:
            assert answer.status == 200
            async for line in answer.content:
                events += line.startswith(b"data")
                if line.startswith(b"data: [DONE]"):
                    return events, True
    except aiohttp.ClientError:
        pass  # cut
    return events, False


def test_a_backend_that_leaves_cuts_its_streams_and_nobody_elses() -> None:
    async def play(world: Bench) -> None:
        rules = [at("/s", reference("s", weight=1), filters=[rewrite("ReplaceFullPath", "/stream")]),
                 at("/stream", *T)]
        world.apply(**BASE, HTTPRoute=[route(rules=rules)])
        await world.settle()
        await world.until_status(200, "/stream/x")
        while await read_status(world, "/s") != 200:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        leaving = [asyncio.create_task(read_stream(world, "/s")) for _number in range(4)]
        staying = [asyncio.create_task(read_stream(world, "/stream")) for _number in range(4)]
        await asyncio.sleep(1.0)
        world.apply(**BASE, HTTPRoute=[route(rules=rules[1:], generation=2)])
        await world.settle()
        ended = time.monotonic()
        assert {done for _events, done in await asyncio.gather(*leaving)} == {False}
        assert time.monotonic() - ended < 3.0
        assert await asyncio.gather(*staying) == [(81, True)] * 4

    scenario(play)


async def read_status(world: Bench, path: str) -> int:
    """Status of a request whose answer is not read to its end."""
    async with world.session.get(f"http://{SUBNET}.0.10:{PORT}{path}", headers={"Host": "llm.example.com"}) as answer:
        return answer.status


def test_a_weight_change_cuts_nothing_and_loses_nothing() -> None:
    """Red for nothing: one in 1.7 million, 100 fair coins of which 25 or fewer fall one way."""
    async def play(world: Bench) -> None:
        def weights(left: int, right: int, generation: int) -> None:
            rules = [at("/", reference("s", weight=left), reference("t", weight=right))]
            world.apply(**BASE, HTTPRoute=[route(rules=rules, generation=generation)])

        weights(100, 0, 1)
        await world.settle()
        await world.until_status(200, "/x")
        await asyncio.sleep(0.5)
        streams = [asyncio.create_task(read_stream(world, "/stream")) for _number in range(4)]
        found: Counter[int] = Counter()
        shares: list[Counter[str]] = []
        for number, (left, right) in enumerate([(90, 10), (50, 50), (0, 100)]):
            weights(left, right, number + 2)
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                found[await world.status("/x")] += 1
            shares.append(Counter([(await world.get("/x"))[2]["pod"] for _number in range(100)]))
        assert set(found) == {200}
        assert 25 < shares[1][POD] < 75 and set(shares[2]) == {OTHER_POD}
        assert [done for _events, done in await asyncio.gather(*streams)] == [True] * 4

    scenario(play)


def test_time_outs_are_the_backends_own() -> None:
    async def play(world: Bench) -> None:
        short = policy("GCPBackendPolicy", "b", {"group": "", "kind": "Service", "name": "s"}, {"timeoutSec": 1})
        rules = [{"matches": [{"path": {"value": "/slow"}, "headers": [{"name": "x-to", "value": "t"}]}], "backendRefs": T}, at("/", *S)]
        world.apply(**BASE, GCPBackendPolicy=[short], HTTPRoute=[route(rules=rules)])
        await world.settle()
        await world.until_status(200, "/x")
        started = time.monotonic()
        assert await world.status("/slow") == 504
        assert 0.9 < time.monotonic() - started < 2.5
        assert await world.status("/slow", **{"x-to": "t"}) == 200

    scenario(play)


def test_no_ready_picker_fails_closed_or_passes() -> None:
    async def play(world: Bench) -> None:
        """Also with a body: it must reach the pod whole, although the picker that would have seen it is not there."""
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/closed", reference("closed", ALPHA_GROUP)), at("/open", reference("open", ALPHA_GROUP))])])
        await world.settle()
        await world.until_status(200, "/open")
        for path, wanted in (("/closed", 500), ("/open", 200)):
            async with world.session.post(f"http://{SUBNET}.0.10:{PORT}{path}", json={"prompt": "x" * 5000}) as answer:
                assert answer.status == wanted
        await asyncio.sleep(0.4)
        assert {line["backend"] for line in world.access()} == {f"{ALPHA_GROUP}/InferencePool/default/open", f"{ALPHA_GROUP}/InferencePool/default/closed"}

    scenario(play)


def test_each_instance_takes_a_change_in_its_own_time_and_status_comes_after_the_last() -> None:
    async def play(world: Bench) -> None:
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/", *S)])])
        await world.settle()
        lines = world.converged()
        assert sorted(line["instance"] for line in lines) == [0, 1]
        assert all(line["routes"] == {"default/route": 1} and line["backends"] == ["Service/default/s:80"] for line in lines)
        assert len(world.announced) == 1
        assert abs(lines[0]["time"] - lines[1]["time"]) > 0.02

    scenario(play, take=[0.1, 1.0], seed=7)


def test_early_status_does_not_wait_for_the_instances() -> None:
    async def play(world: Bench) -> None:
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/", *S)])])
        await asyncio.sleep(0.6)
        assert len(world.announced) == 1 and not (world.folder / "converged.jsonl").exists()
        await world.settle()

    scenario(play, take=[1.5, 2.0], status="early")


def test_an_envoy_that_dies_is_started_again_with_what_it_had() -> None:
    """Red for nothing: 2 in 10^12, 40 fair coins that all fall one way."""
    async def play(world: Bench) -> None:
        world.apply(**BASE, HTTPRoute=[route(rules=[at("/", *S)])])
        await world.settle()
        await world.until_status(200, "/x")
        world.processes[0].kill()
        await asyncio.sleep(2.0)
        for number in range(40):
            assert (await world.get("/x", **{"x-load-id": f"after-{number}"}))[0] == 200
        await asyncio.sleep(0.4)
        assert {line["instance"] for line in world.access() if (line["load_id"] or "").startswith("after")} == {0, 1}

    scenario(play)


def test_a_taken_port_is_reported_and_other_gateways_go_on() -> None:
    async def play(world: Bench) -> None:
        busy = await asyncio.start_server(lambda _reader, writer: writer.close(), f"{SUBNET}.0.11", PORT)
        try:
            second = gateway("second")
            second["metadata"]["creationTimestamp"] = "2027-01-01T00:00:00Z"
            world.apply(**{**BASE, "Gateway": [gateway(), second]}, HTTPRoute=[route(rules=[at("/", *S)])])
            model = await world.settle()
        finally:
            busy.close()
        listener = next(status.value["listeners"][0] for status in model.statuses if status.name == "second")
        assert "taken by another program" in {entry["type"]: entry["message"] for entry in listener["conditions"]}["Accepted"]
        await world.until_status(200, "/x")
        assert all("problem" not in line for line in world.converged())

    scenario(play)


def test_a_prefix_ends_at_a_slash_and_zero_shares_are_left_out() -> None:
    assert envoyroutes.match({"path": {"type": "PathPrefix", "value": "/v1/"}}) == {"path_separated_prefix": "/v1"}
    assert envoyroutes.match({}) == {"prefix": "/"}
    assert envoyroutes.route(Entry("r", {}), str)["direct_response"]["status"] == 500
