# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A v1 that turns bad and cuts nothing: rewrites that lead a share of its new requests to a model that no server has. What streams already goes on.

(A picker whose streams are reset loses its connections when that fault is armed, and with them what it has in hand.)
"""
from __future__ import annotations

import json

from igw_sandbox.world import World

V1_GROUP = "inference.networking.k8s.io"
KIND = "inferencemodelrewrites.inference.networking.x-k8s.io"
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "food-review-1")
"""Those of the demo's estate."""


def turn_bad(world: World, pool: str, percent: int, models: tuple[str, ...] = MODELS) -> None:
    """Of v1's new requests for these models ``percent`` are answered 404 from now on."""
    for number, model in enumerate(models):
        targets = [{"modelRewrite": "nobody-has-it", "weight": percent}, {"modelRewrite": model, "weight": 100 - percent}]
        world.apply(json.dumps({
            "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
            "kind": "InferenceModelRewrite",
            "metadata": {"name": f"bad-{number}", "namespace": "default"},
            "spec": {
                "poolRef": {"group": V1_GROUP, "kind": "InferencePool", "name": pool},
                "rules": [{"matches": [{"model": {"type": "Exact", "value": model}}], "targets": [target for target in targets if target["weight"]]}],
            },
        }) + "\n")


def turn_good(world: World) -> None:
    """All is as it was."""
    world.kubectl("delete", KIND, "--namespace", "default", "--ignore-not-found", "bad-0", "bad-1")
