// Pins the Gateway API whose CRD files the sandbox installs; see sandbox/README.md.
module sandbox.invalid/tools/gateway-api

go 1.25.7

require sigs.k8s.io/gateway-api v1.4.1
