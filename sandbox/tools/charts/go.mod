// Pins the releases of the inference extension of which only chart and CRD files are needed; go.sum holds all of them. See sandbox/README.md.
module sandbox.invalid/tools/charts

go 1.25.7

require sigs.k8s.io/gateway-api-inference-extension v1.4.0
