#!/usr/bin/env bash
# Build data/ if it is missing or differs from its pins, then check it and fill the DVC cache.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

if [ -d data ] && [ -f data.manifest.json ] && "$python" -m g2vlm.run.data verify >/dev/null 2>&1; then
  "$python" -m g2vlm.run.data cache
  exit 0
fi
# `make data FURNITURE=DIR` and `ROOMS=DIR` take the catalogs and the captured rooms from a folder
# or an archive instead of the network; `ROOMS=none` builds without the rooms.
"$python" -m g2vlm.scenes build --out data ${FURNITURE:+--furniture "$FURNITURE"} \
  ${ROOMS:+--rooms "$ROOMS"}
if [ -f data.manifest.json ]; then
  "$python" -m g2vlm.run.data cache
else
  "$python" -m g2vlm.run.data pin
fi
