#!/usr/bin/env bash
# Installs what building and testing weir needs: Debian packages into the system, pip and npm
# packages by pinned version into build/.  Does nothing when all of it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "deps: need root or sudo to install packages" >&2
        exit 1
    fi
}

is_installed() {
    dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

missing=()
while read -r package; do
    is_installed "$package" || missing+=("$package")
done < <(grep -v '^#' tests/setup/packages.txt)
# Node comes with npm from Debian unless the machine has its own.
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)

if [ ${#missing[@]} -gt 0 ]; then
    echo "deps: installing ${#missing[@]} Debian packages: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p build
want=$(cat tests/setup/python.txt | sha256sum)
if [ "$(cat build/venv/.weir 2>/dev/null)" != "$want" ]; then
    echo "deps: Python packages into build/venv"
    [ -x build/venv/bin/python ] || /usr/bin/python3 -m venv build/venv
    build/venv/bin/python -m pip install -q --disable-pip-version-check -r tests/setup/python.txt
    echo "$want" >build/venv/.weir
fi

want=$(cat tests/setup/node.txt | sha256sum)
if [ "$(cat build/node/.weir 2>/dev/null)" != "$want" ]; then
    echo "deps: npm packages into build/node"
    mkdir -p build/node
    grep -v '^#' tests/setup/node.txt |
        xargs npm install --prefix build/node --no-save --no-audit --no-fund --loglevel=error
    echo "$want" >build/node/.weir
fi
