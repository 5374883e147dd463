# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  cluster_id:
    description:
      - The uid of the C(kube-system) namespace of the cluster that is meant, as M(inference_gateway.migration.detect_v1alpha2) prints it.
      - A connection that leads to another cluster is refused before anything is read or written there.
    type: str
notes:
  - A kubeconfig means what it means to kubectl, with C(proxy-url), C(tls-server-name), C(exec) and paths relative to its folder. What the Python client would
    do otherwise is refused in one sentence. C(proxy-url) needs kubernetes >= 37, C(tls-server-name) kubernetes >= 28.
"""
