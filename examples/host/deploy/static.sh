#!/bin/sh
# Builds the host as one small static program, for its image: static.sh TRIPLE TARGET_FOLDER, with cargo-zigbuild in the
# path, at the root of the repository.
set -eu
triple=${1:?the triple to compile for}
target=${2:?the folder that cargo builds into}
# Of the files of Swagger UI inside the program the host serves a few; these are not, and most of the size, so they are
# empty.
unserved=$(mktemp -d)
trap 'rm -r "$unserved"' EXIT
for name in swagger-ui.js swagger-ui-es-bundle.js swagger-ui-es-bundle-core.js; do
    : >"$unserved/$name"
    : >"$unserved/$name.map"
done
for name in swagger-ui-bundle.js swagger-ui-standalone-preset.js swagger-ui.css; do
    : >"$unserved/$name.map"
done
# Smaller by a fifth, and slower to build.
export CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
SWAGGER_UI_OVERWRITE_FOLDER=$unserved cargo zigbuild --locked --release --package code-service-host \
    --target "$triple" --target-dir "$target"
