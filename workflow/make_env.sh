#!/usr/bin/env bash
# Create .venv from requirements.lock. Whatever is missing is reported in one line.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.venv/.complete
need_gb=12

fail() {
  echo "error: $*" >&2
  exit 2
}

right_python='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))'
python=
for name in ${PYTHON:-python3.11 python3.12 python3}; do
  if "$name" -c "$right_python" >/dev/null 2>&1; then
    python=$("$name" -c 'import sys; print(sys.executable)')
    break
  fi
done
[ -n "$python" ] || fail "needs Python 3.11 or 3.12, found $( (${PYTHON:-python3} --version) 2>&1 | head -1); install one or name it: make env PYTHON=/path/to/python3.11"

if [ ! -f "$stamp" ]; then
  free_gb=$(df -Pk . | awk 'NR == 2 {print int($4 / 1048576)}')
  [ "$free_gb" -ge "$need_gb" ] || fail "needs $need_gb GB of disk, $free_gb GB are free here; make room or clone elsewhere"
fi

mkdir -p .venv
log=.venv/install.log

# The pinned uv: the one at hand if it is that version, otherwise in an environment of its own.
# Nothing is installed into the machine's Python or the user's home.
uv_lock=workflow/uv/requirements.lock
uv_version=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' "$uv_lock")
uv=uv
if [ "$(uv --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
  uv=.venv/.uv/bin/uv
  if [ "$("$uv" --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
    echo "env: installing uv $uv_version into .venv/.uv"
    "$python" -m venv --clear .venv/.uv >"$log" 2>&1 ||
      fail "could not make an environment for uv: $(grep -v '^ *$' "$log" | tail -1); install Python's venv module (Debian: python3-venv), or uv $uv_version by its home page"
    .venv/.uv/bin/python -m pip install --quiet --require-hashes -r "$uv_lock" 2>"$log" ||
      fail "could not install uv $uv_version (is the network up?): $(grep -m1 -i error "$log" || tail -1 "$log")"
  fi
fi

echo "env: creating .venv with $("$python" --version) and the packages of requirements.lock (about 6 GB; minutes the first time)"
"$uv" venv --quiet --allow-existing --python "$python" .venv 2>"$log" ||
  fail "could not create .venv: $(tail -1 "$log")"
# Compiled once here: every job would compile its imports again where bytecode is not written.
"$uv" pip sync --quiet --require-hashes --compile-bytecode --python .venv/bin/python requirements.lock 2>"$log" ||
  fail "could not install the packages of requirements.lock (is the network up?); the full message is in $log: $(grep -m1 -i error "$log" || tail -1 "$log")"
touch "$stamp"
echo "env: ready; activate it with: source .venv/bin/activate"
