# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd, kube-apiserver and kube-controller-manager of one sandbox, with the CRDs that its cluster has on day one."""
from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Awaitable
from pathlib import Path

import aiohttp
from lightkube import AsyncClient, KubeConfig

from igw_sandbox import assets, etcddata, pki
from igw_sandbox.context import Context, SandboxError, free_port

SERVICES = "10.96.0.0/16"
CONTROLLERS = (
    "deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,job-controller,garbage-collector-controller,namespace-controller,"
    "clusterrole-aggregation-controller,serviceaccount-controller,root-ca-certificate-publisher-controller,serviceaccount-token-controller"
)
CLIENTS = tuple(f"client-{number}" for number in range(1, 7))
"""Further administrators, so that the API proxy's log tells the programs apart that use one cluster."""
READY_TIMEOUT = 150.0
"""Seconds; three is usual, more on a machine that builds something at the same time."""


def etcd_command(program: Path, data: Path, address: str) -> tuple[list[str], str]:
    """Command line of etcd and the URL its clients use. No fsync: nothing here has to outlive a power cut."""
    client = f"http://{address}:{free_port(address, 2379)}"
    peer = f"http://{address}:{free_port(address, 2380)}"
    return [str(program), "--data-dir", str(data), "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--unsafe-no-fsync", "--log-level", "warn"], client


def apiserver_command(program: Path, etcd: str, address: str, port: int, folder: Path) -> list[str]:
    """Command line of kube-apiserver (SANDBOX section 2); keys, certificates and tokens lie in ``folder``."""
    return [
        str(program), f"--etcd-servers={etcd}", f"--bind-address={address}", f"--advertise-address={address}", f"--secure-port={port}",
        f"--cert-dir={folder}", f"--tls-cert-file={folder / 'apiserver.crt'}", f"--tls-private-key-file={folder / 'apiserver.key'}",
        f"--service-account-key-file={folder / 'sa.pub'}", f"--service-account-signing-key-file={folder / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc", f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC",
        f"--service-cluster-ip-range={SERVICES}", "--endpoint-reconciler-type=none", "--allow-privileged=true",
    ]


def manager_command(program: Path, kubeconfig: Path, address: str, folder: Path) -> list[str]:
    """Command line of kube-controller-manager: only the controllers that a world without kubelets can use."""
    return [
        str(program), f"--kubeconfig={kubeconfig}", "--use-service-account-credentials=true", f"--service-account-private-key-file={folder / 'sa.key'}",
        f"--root-ca-file={folder / 'ca.crt'}", f"--controllers={CONTROLLERS}", "--leader-elect=false", f"--bind-address={address}",
        f"--secure-port={free_port(address, 10257)}", f"--cert-dir={folder}", "--kube-api-qps=200", "--kube-api-burst=400",
    ]


async def run(context: Context) -> None:
    """Start the control plane, mark ``controlplane`` ready, and fail with a sentence when one of its programs ends."""
    address = f"{context.subnet}.0.2"
    folder = context.directory / "pki"
    folder.mkdir(exist_ok=True)
    restored = etcddata.folder(context).exists()
    etcd_argv, etcd_url = etcd_command(context.tools["etcd"], etcddata.folder(context), address)
    processes = {"etcd": await context.spawn("etcd", etcd_argv)}

    authority = pki.Authority.create(f"sandbox {context.name}")
    (folder / "ca.crt").write_bytes(authority.pem)
    authority.issue(folder, "apiserver", [address, "127.0.0.1", "10.96.0.1"], ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"])
    pki.write_service_account_keys(folder)
    admin, manager, *others = (secrets.token_hex(16) for _user in range(2 + len(CLIENTS)))
    context.clients = dict(zip(CLIENTS, others, strict=True))
    tokens = [f"{manager},system:kube-controller-manager,kcm"]
    tokens += [f"{token},{user},{user},system:masters" for user, token in {"admin": admin, **context.clients}.items()]
    pki.write_private(folder / "tokens.csv", ("\n".join(tokens) + "\n").encode())
    port = free_port(address, 6443)
    server = f"https://{address}:{port}"
    direct = pki.write_kubeconfig(context.directory / "direct.kubeconfig", server, authority.pem, admin, f"{context.name}-direct")
    manager_config = pki.write_kubeconfig(folder / "kcm.kubeconfig", server, authority.pem, manager, "kcm")

    processes["kube-apiserver"] = await context.spawn("kube-apiserver", apiserver_command(context.tools["kube-apiserver"], etcd_url, address, port, folder))
    context.admin_token = admin
    context.publish(direct_kubeconfig=str(direct), direct_server=server)
    watchers = [asyncio.create_task(_ended(context, name, process)) for name, process in processes.items()]
    try:
        tls = ssl.create_default_context(cadata=authority.pem.decode())
        async with aiohttp.ClientSession(server, headers={"Authorization": f"Bearer {admin}"}, connector=aiohttp.TCPConnector(ssl=tls)) as session:
            await _unless_ended(watchers, _answering(session, context))
            processes["kube-controller-manager"] = await context.spawn(
                "kube-controller-manager", manager_command(context.tools["kube-controller-manager"], manager_config, address, folder))
            watchers.append(asyncio.create_task(_ended(context, "kube-controller-manager", processes["kube-controller-manager"])))
            if not restored:
                await _unless_ended(watchers, _furnish(session, context))
        context.client = AsyncClient(config=KubeConfig.from_file(str(direct)), namespace="default")
        if restored:
            await _unless_ended(watchers, etcddata.after_restart(context))
        context.mark_ready("controlplane")
        await asyncio.gather(*watchers)
    finally:
        for watcher in watchers:
            watcher.cancel()


async def _ended(context: Context, name: str, process: asyncio.subprocess.Process) -> None:
    """Raise when a program that has to live ends."""
    code = await process.wait()
    raise SandboxError(f"{name} of sandbox {context.name} ended with status {code}: {context.tail(name, 3)}; see {context.logs / (name + '.log')}.")


async def _unless_ended(watchers: list[asyncio.Task[None]], work: Awaitable[None]) -> None:
    """Do ``work``, but fail at once when a program ends meanwhile."""
    task = asyncio.ensure_future(work)
    done, _pending = await asyncio.wait([task, *watchers], return_when=asyncio.FIRST_COMPLETED)
    if task not in done:
        task.cancel()
    for finished in done:
        finished.result()


async def _answering(session: aiohttp.ClientSession, context: Context) -> None:
    """Wait until /readyz answers 200."""
    deadline = time.monotonic() + READY_TIMEOUT
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            async with session.get("/readyz") as answer:
                if answer.status == 200:
                    return
                last = (await answer.text())[-300:]
        except aiohttp.ClientConnectionError as error:
            last = str(error)
        await asyncio.sleep(0.1)
    log = context.logs / "kube-apiserver.log"
    raise SandboxError(f"The API server of sandbox {context.name} was not ready after {READY_TIMEOUT:.0f} s ({last}); see {log}.")


async def _furnish(session: aiohttp.ClientSession, context: Context) -> None:
    """Install the CRDs of day one and wait for them and for the default service account."""
    files = assets.day_one_crds(context.release)
    names = await asyncio.gather(*(_create_crd(session, document) for file in files for document in assets.documents(file)))
    await asyncio.gather(*(_established(session, name) for name in names), _exists(session, "/api/v1/namespaces/default/serviceaccounts/default"))


async def _create_crd(session: aiohttp.ClientSession, document: str) -> str:
    """POST one CRD given as YAML; returns its name."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldManager=addon-manager"
    async with session.post(path, data=document.encode(), headers={"Content-Type": "application/yaml"}) as answer:
        body = await answer.json()
        if answer.status != 201:
            raise SandboxError(f"The API server refused a CRD of day one: {body.get('message')}.")
        return body["metadata"]["name"]


async def _established(session: aiohttp.ClientSession, name: str) -> None:
    while True:
        async with session.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}") as answer:
            conditions = (await answer.json())["status"]["conditions"] or []  # null at first
        if any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions):
            return
        await asyncio.sleep(0.1)


async def _exists(session: aiohttp.ClientSession, path: str) -> None:
    while True:
        async with session.get(path) as answer:
            if answer.status == 200:
                return
        await asyncio.sleep(0.1)
