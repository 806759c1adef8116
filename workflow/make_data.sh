#!/usr/bin/env bash
# Build data/ if it is missing or differs from its pins, then check it and fill the DVC cache.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

if [ -d data ] && [ -f data.manifest.json ] && "$python" -m g2vlm.run.data verify >/dev/null 2>&1; then
  "$python" -m g2vlm.run.data cache
  exit 0
fi
# `make data FURNITURE=DIR` takes the catalogs from a folder instead of the network, and `ROOMS=PATH`
# the captured rooms from a folder or a .tgz; `ROOMS=none` builds without the rooms.
"$python" -m g2vlm.scenes build --out data ${FURNITURE:+--furniture "$FURNITURE"} \
  ${ROOMS:+--rooms "$ROOMS"}
if [ -f data.manifest.json ]; then
  "$python" -m g2vlm.run.data cache
else
  "$python" -m g2vlm.run.data pin
fi
