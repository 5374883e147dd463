# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  probes:
    description:
      - Requests of your own, asked beside those that are made from the plan. Use them for what your clients send and the plan does not know.
      - An answer counts when it is complete, has status 200 and came by the rule and the endpoint picker that were asked. It must be JSON, that of a GET where
        its content type says so.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path of the request, with its query where it has one.
        type: str
        required: true
      method:
        description: Of the request. A GET proves a rule that takes no other, for instance of V(/v1/models).
        type: str
        choices: [GET, POST]
        default: POST
      body:
        description:
          - The JSON body, which a POST must have.
          - V({unique}) in it is replaced by a text that differs each time, without which a prefix cache pins all to one pod.
          - With C(stream) true the answer must end with C([DONE]).
        type: dict
      hostname:
        description: Hostname to ask for. Default is every hostname of the route that it comes by.
        type: str
      headers:
        description: Further headers. Not for secrets, see O(probe_headers).
        type: dict
        default: {}
  probe_token:
    description: Bearer token that every probe carries.
    type: str
  probe_headers:
    description:
      - "Headers that every request to a Gateway carries, each as C(NAME: VALUE), for instance the API key that it wants. They are never logged."
    type: list
    elements: str
    default: []
  probe_ca_cert:
    description: File with the certificate authority of the Gateways' HTTPS listeners. Default is the system's.
    type: path
  probe_validate_certs:
    description: Whether to check the certificates of the Gateways' HTTPS listeners.
    type: bool
    default: true
  probe_proxy:
    description:
      - Proxy through which probes go, C(http://HOST:PORT). It must allow CONNECT to the Gateways' ports.
      - Without it they go straight to the Gateways. Proxies of the environment are not looked at.
    type: str
  probe_rate:
    description: Probes a second at most. While anything answers 429, fewer are sent.
    type: int
    default: 60
  probe_timeout:
    description: Seconds for the whole answer to one probe.
    type: int
    default: 10
"""
