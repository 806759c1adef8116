#!/usr/bin/env bash
# Build data/ if it is missing or differs from its pins, then check it and fill the DVC cache.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

# Check data/, then pin the folder in data.dvc and link its files into DVC's cache. The pin includes
# the captured rooms, so a build without them is not added.
check_and_cache() {
  "$python" -m g2vlm.run.data verify
  if [ ! -e .git ]; then
    echo "data: no git clone here, so DVC's cache is not filled (everything else works)"
  elif [ -d data/real_rooms ]; then
    CI=1 "$python" -m dvc add --quiet data
  fi
}

if [ -d data ] && [ -f data.manifest.json ] && "$python" -m g2vlm.run.data verify >/dev/null 2>&1; then
  check_and_cache
  exit 0
fi
# `make data FURNITURE=DIR` takes the catalogs from a folder instead of the network, and `ROOMS=PATH`
# the captured rooms from a folder or a .tgz; `ROOMS=none` builds without the rooms.
"$python" -m g2vlm.scenes build --out data ${FURNITURE:+--furniture "$FURNITURE"} \
  ${ROOMS:+--rooms "$ROOMS"}
[ -f data.manifest.json ] || "$python" -m g2vlm.run.data pin
check_and_cache
