# docker buildx bake --push --set '*.tags=registry.example.com/wxproxy:1.2.3'
target "default" {
  context    = "."
  platforms  = ["linux/amd64", "linux/arm64"]
  tags       = ["wxproxy:dev"]
  attest     = ["type=provenance,mode=max", "type=sbom"]
}
