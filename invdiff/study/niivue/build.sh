#!/bin/sh
# Make niivue.min.js from the packages of npm, as one classic script: pages opened from file://
# may not import modules. The reader of Zarr, which fetches from servers and is two thirds of the
# size, is left out.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes >/dev/null
npm install --save-exact --no-fund --no-audit @niivue/niivue@0.69.0 esbuild@0.28.2 \
  gl-matrix@3.4.4 nifti-reader-js@0.8.0 fflate@0.8.3 @ungap/structured-clone@1.4.0 \
  @lukeed/uuid@2.0.1 array-equal@1.0.2
echo 'export {}' >no-zarr.js
echo 'export { DRAG_MODE, MULTIPLANAR_TYPE, Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } from "@niivue/niivue"' >entry.js
npx esbuild entry.js --bundle --minify --format=iife --global-name=niivue \
  --alias:zarrita=./no-zarr.js --legal-comments=none --log-level=error \
  --outfile="$here/niivue.min.js"
sha256sum "$here/niivue.min.js"
