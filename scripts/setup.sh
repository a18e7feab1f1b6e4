#!/usr/bin/env bash
# Make .venv with the package and everything that its tests and demo need, as pyproject.toml lists it.
# Installs uv under .setup/ where there is none; asks the system's package manager for nothing but python3-venv, and
# that only as root on a Debian that has no other way to pip.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

works() { "$1" --version >/dev/null 2>&1; }

# Print a uv that runs; a pyenv shim may exist and still run nothing.
find_uv() {
    local candidate
    for candidate in "$(command -v uv || true)" "$HOME/.local/bin/uv" .setup/uv/bin/uv; do
        if [ -n "$candidate" ] && works "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

install_uv_with_python() {
    command -v python3 >/dev/null || return 1
    rm -rf .setup/uv
    if python3 -m venv .setup/uv 2>/dev/null; then
        .setup/uv/bin/python -m pip install --quiet uv
    else
        # Debian's python3 has no ensurepip; where it has pip all the same, pip can fill a folder.
        rm -rf .setup/uv
        python3 -m pip install --quiet --target .setup/uv uv 2>/dev/null
    fi
}

install_uv() {
    echo "setup: installing uv into .setup/uv" >&2
    mkdir -p .setup
    install_uv_with_python && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv ca-certificates
        install_uv_with_python && return
    fi
    fail "found neither uv nor a python3 with venv or pip; install uv (https://docs.astral.sh/uv/) and run again."
}

uv=$(find_uv) || { install_uv && uv=$(find_uv); } || fail "uv was installed but does not run; see .setup/uv."

# The system's own Python where it is new enough; otherwise uv fetches one.
export UV_PYTHON_PREFERENCE=system
# Institutes sit behind proxies with certificates of their own, which only the system's store knows.
[ -s /etc/ssl/certs/ca-certificates.crt ] && export UV_SYSTEM_CERTS=true
unset VIRTUAL_ENV
"$uv" venv --quiet --allow-existing --python '>=3.11,<3.15' .venv
"$uv" pip install --python .venv/bin/python --editable '.[all,train,evaluate,docs,dev]'
