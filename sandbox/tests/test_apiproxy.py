# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API proxy passes everything, counts what the benchmarks need, and each fault does what it says to exactly the requests it names."""
from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from igw_sandbox.context import SandboxError, start_time
from igw_sandbox.proxyfaults import Call, Fault
from igw_sandbox.world import World

GONE = (ConnectionError, http.client.BadStatusLine, TimeoutError, OSError)


@pytest.fixture(scope="session")
def world(bare_world: World) -> World:
    return bare_world


@pytest.fixture(autouse=True)
def no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "world" in request.fixturenames:
        request.getfixturevalue("world").proxy("/faults/clear", {})


def config_map(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "value"}}


def path_of(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def exists(direct_api, namespace: str, name: str) -> bool:
    return direct_api.send("GET", path_of(namespace, name)).status == 200


def test_version_says_gke(api, direct_api) -> None:
    version = api.send("GET", "/version").json
    assert (version["gitVersion"], version["major"], version["minor"]) == ("v1.34.0-gke.1626000", "1", "34")
    assert version["goVersion"] == direct_api.send("GET", "/version").json["goVersion"]


def test_counts_writes_without_dry_runs_and_reviews(world: World, api, namespace: str) -> None:
    world.reset_requests()
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}
    assert api.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).json["status"]["allowed"]
    assert api.send("POST", path_of(namespace) + "?dryRun=All", config_map("dry")).status == 201
    assert api.send("POST", path_of(namespace), config_map("real")).status == 201
    assert api.send("GET", path_of(namespace, "dry")).status == 404
    body = {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}
    assert api.send("DELETE", path_of(namespace, "real"), body).status == 200
    assert api.send("GET", path_of(namespace, "real")).status == 200
    only_in_the_query = api.send("DELETE", path_of(namespace, "real") + "?dryRun=All", {"kind": "DeleteOptions", "apiVersion": "v1"})
    assert (only_in_the_query.status, api.send("GET", path_of(namespace, "real")).status) == (200, 404), "the server has deleted it"
    counts = world.requests()
    assert {key: counts[key] for key in ("GET", "POST", "DELETE", "PUT", "PATCH", "writes", "dry_run", "reviews", "total")} == {
        "GET": 3, "POST": 3, "DELETE": 2, "PUT": 0, "PATCH": 0, "writes": 2, "dry_run": 2, "reviews": 1, "total": 8}
    lines = [json.loads(line) for line in (world.directory / "api-requests.jsonl").read_text().splitlines()][-8:]
    assert [line["write"] for line in lines] == [False, False, True, False, False, False, True, False]
    assert [line["status"] for line in lines] == [201, 201, 201, 404, 200, 200, 200, 404]
    assert not any("token" in line or "Bearer" in json.dumps(line) for line in lines)


def test_tokens_pass_through(api) -> None:
    assert api.send("GET", "/api/v1/namespaces", headers={"Authorization": "Bearer nobody"}).status == 401


def test_large_lists_arrive_whole(api, direct_api) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/httproutes.gateway.networking.k8s.io"
    ours, theirs = api.send("GET", path), direct_api.send("GET", path)
    assert len(ours.body) > 100_000
    assert ours.json == theirs.json
    packed = api.send("GET", path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and len(packed.body) < len(ours.body)


def test_a_watch_delivers_at_once_and_can_be_dropped(world: World, api, direct_api, namespace: str) -> None:
    connection = api.connect()
    connection.request("GET", path_of(namespace) + "?watch=1", headers={"Authorization": f"Bearer {api.token}"})
    answer = connection.getresponse()
    began = time.monotonic()
    direct_api.send("POST", path_of(namespace), config_map("watched"))
    names = []
    while "watched" not in names:
        names.append(json.loads(answer.readline())["object"]["metadata"]["name"])
    assert time.monotonic() - began < 15, "delivered while the watch is open, not when it ends"
    world.fault("drop_watches")
    with pytest.raises(GONE + (http.client.IncompleteRead,)):
        while answer.readline():
            pass  # events that were under way
        raise ConnectionError("the watch ended")
    connection.close()


def test_status_hits_the_kth_match_only(world: World, api, namespace: str) -> None:
    world.fault("status", status=429, retry_after=7, after=1, count=2, match={"method": "GET", "path_regex": f"/{namespace}/configmaps$"})
    answers = [api.send("GET", path_of(namespace)) for _number in range(4)]
    assert [answer.status for answer in answers] == [200, 429, 429, 200]
    assert answers[1].headers["Retry-After"] == "7" and answers[1].json["reason"] == "TooManyRequests"
    (told,) = world.proxy("/faults")
    assert told["fired"] == 2 and told["seen"] == 3


def test_a_refused_write_is_not_done(world: World, api, direct_api, namespace: str) -> None:
    world.fault("status", status=409, match={"write": True})
    assert api.send("POST", path_of(namespace), config_map("refused")).status == 409
    assert not exists(direct_api, namespace, "refused")


def test_a_dropped_answer_was_done(world: World, api, direct_api, namespace: str) -> None:
    world.fault("drop_answer", match={"method": "POST", "path_regex": namespace})
    with pytest.raises(GONE):
        api.send("POST", path_of(namespace), config_map("done"))
    assert exists(direct_api, namespace, "done")


def test_a_reset_request_was_not_done(world: World, api, direct_api, namespace: str) -> None:
    world.fault("reset", match={"method": "POST", "path_regex": namespace})
    with pytest.raises(GONE):
        api.send("POST", path_of(namespace), config_map("lost"))
    assert not exists(direct_api, namespace, "lost")


def test_delay_waits_then_goes_on(world: World, api, namespace: str) -> None:
    world.fault("delay", seconds=3, match={"path_regex": namespace})
    began = time.monotonic()
    assert api.send("GET", path_of(namespace)).status == 200
    assert time.monotonic() - began >= 3
    began = time.monotonic()
    api.send("GET", path_of(namespace))
    assert time.monotonic() - began < 3, "one request was delayed, not the next"


def test_unreachable_refuses_connections_then_comes_back(world: World, api, direct_api) -> None:
    kept = api.connect()
    kept.request("GET", "/version", headers={"Authorization": f"Bearer {api.token}"})
    assert kept.getresponse().read()
    began = time.monotonic()
    world.fault("unreachable", seconds=1.5)
    with pytest.raises(ConnectionRefusedError):
        api.send("GET", "/version")
    with pytest.raises(GONE):
        kept.sock.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        if kept.sock.recv(1) == b"":
            raise ConnectionError("closed")
    assert direct_api.send("GET", "/version").status == 200
    status = 0
    while status != 200 and time.monotonic() < began + 30:
        try:
            status = api.send("GET", "/version").status
        except ConnectionRefusedError:
            time.sleep(0.05)
    assert status == 200
    assert time.monotonic() - began > 1.4


def test_unreachable_can_begin_at_the_kth_request(world: World, api) -> None:
    world.fault("unreachable", seconds=0.5, after=1)
    assert api.send("GET", "/version").status == 200
    with pytest.raises(GONE):
        api.send("GET", "/version")
    with pytest.raises(ConnectionRefusedError):
        api.send("GET", "/version")
    time.sleep(0.7)
    assert api.send("GET", "/version").status == 200


@pytest.mark.parametrize(("when", "done"), [("before", False), ("after", True)])
def test_kill_strikes_before_or_after_the_work(world: World, api, direct_api, namespace: str, when: str, done: bool) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    world.fault("kill", pid=victim.pid, when=when, match={"method": "POST", "path_regex": namespace})
    with pytest.raises(GONE):
        api.send("POST", path_of(namespace), config_map("moment"))
    assert victim.wait(5) == -9
    assert exists(direct_api, namespace, "moment") is done


def test_kill_takes_a_process_group_and_what_made_a_session_of_its_own(world: World, api, direct_api, namespace: str) -> None:
    """As ansible-playbook's workers do, which a signal to its group alone would leave at work."""
    script = "setsid sleep 61 & echo $!; sleep 61 & echo $!; wait"
    victim = subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert victim.stdout
    started = [int(victim.stdout.readline()) for _number in range(2)]
    world.fault("kill", pid=victim.pid, group=True, when="after", match={"method": "POST", "path_regex": namespace})
    with pytest.raises(GONE):
        api.send("POST", path_of(namespace), config_map("moment"))
    assert victim.wait(5) == -9
    deadline = time.monotonic() + 5
    while any(map(start_time, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [start_time(pid) for pid in started] == [None, None]
    assert exists(direct_api, namespace, "moment")


def test_exec_is_refused_with_a_reason(api, namespace: str) -> None:
    answer = api.send("POST", f"/api/v1/namespaces/{namespace}/pods/x/exec", headers={"Connection": "Upgrade", "Upgrade": "SPDY/3.1"})
    assert answer.status == 501 and "port-forward" in answer.json["message"]


@pytest.mark.parametrize(("arguments", "sentence"), [
    ({"kind": "delay"}, "needs seconds"), ({"kind": "kill"}, "needs the pid"), ({"kind": "status", "match": {"verb": "get"}}, "unknown keys verb"),
    ({"kind": "reset", "group": True}, "goes with kill"), ({"kind": "reset", "match": {"path_regex": "("}}, "unterminated"),
    ({"kind": "delay", "second": 3}, "second")])
def test_senseless_faults_are_refused(world: World, arguments: dict, sentence: str) -> None:
    with pytest.raises(SandboxError, match=sentence):
        world.proxy("/fault", arguments)
    assert world.proxy("/faults") == []


def test_an_unknown_kind_names_what_there_is(world: World) -> None:
    with pytest.raises(SandboxError, match="no fault nonsense; known: .*drop_answer.*unreachable"):
        world.fault("nonsense")


@pytest.mark.parametrize(("call", "write"), [
    (Call("GET", "/api", False, False), False), (Call("POST", "/api/v1/pods", False, False), True), (Call("POST", "/api/v1/pods", True, False), False),
    (Call("PATCH", "/x", False, False), True), (Call("DELETE", "/x", False, False), True), (Call("PUT", "/x", False, False), True),
    (Call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", False, False), False),
    (Call("POST", "/api/v1/namespaces/a/serviceaccounts/b/token", False, False), True)])
def test_what_a_write_is(call: Call, write: bool) -> None:
    assert call.write is write


def test_a_fault_without_limit_always_fires() -> None:
    fault = Fault("reset", count=0, after=2)
    assert [fault.hits(Call("GET", "/", False, False)) for _number in range(5)] == [False, False, True, True, True]
