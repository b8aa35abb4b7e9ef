#!/bin/sh
# Makes .venv and installs the locked packages into it; does nothing when they are already there.
# Usage: scripts/setup.sh run|dev. PYTHON names another interpreter. A refusal is one sentence on stderr and exit 1.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-run}
venv=.venv

refuse() {
    echo "$1" >&2
    exit 1
}

suitable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        if suitable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    refuse "Lyceum needs Python 3.11 or newer${PYTHON:+, which $PYTHON is not}: install it (on Debian or Ubuntu: sudo apt-get install python3 python3-venv) and repeat the command."
}

check_writable() {
    probe=$(mktemp ./.write-probe-XXXXXX 2>/dev/null) ||
        refuse "The folder $(pwd) is read-only, but Lyceum keeps its data and packages in it: make it writable or clone it elsewhere."
    rm -f "$probe"
}

# Debian ships Python without ensurepip: python3-venv brings it. An installed pip can do its work as well.
make_venv() {
    python=$1
    rm -rf "$venv"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$venv" || refuse "Python could not make $venv: see the message above."
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check pip ||
            refuse "pip could not be put into $venv: check the network and repeat the command."
    elif install_venv_package "$python"; then
        "$python" -m venv "$venv" || refuse "Python could not make $venv: see the message above."
    else
        refuse "Python's venv module is incomplete here: run 'sudo apt-get install python3-venv' and repeat the command."
    fi
}

install_venv_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "Installing Debian's python3-venv..."
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv; } \
        >/dev/null 2>&1 && "$1" -c 'import ensurepip' 2>/dev/null
}

healthy() {
    [ -x "$venv/bin/python" ] && suitable "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

# $1 names the stamp, $2 the requirements file. The stamp is written last, so that an interrupted installation is repeated.
install() {
    wanted=$(sha256sum "$2")
    if [ "$wanted" = "$(cat "$venv/.installed-$1" 2>/dev/null)" ]; then
        return
    fi
    echo "Installing the packages of $2 (once, about a minute)..."
    rm -f "$venv/.installed-run" "$venv/.installed-dev"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$2" \
        >"$venv/install.log" 2>&1 ||
        refuse "The packages of $2 could not be installed: check the network, read $venv/install.log and repeat the command."
    echo "$wanted" >"$venv/.installed-$1"
}

check_writable
if ! healthy; then
    found=$(find_python)
    make_venv "$found"
fi
case $kind in
    dev)
        install dev requirements-dev.txt
        sha256sum requirements.txt >"$venv/.installed-run" # the dev set contains the other, at the same versions
        ;;
    *) install run requirements.txt ;;
esac
