#!/bin/sh
# Installs Debian's Chromium and fonts with Cyrillic and emoji for the browser tests, unless a browser is there already.
set -eu
for name in "${CHROMIUM:-chromium}" chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done

refuse() {
    echo "The browser tests need Chromium: install it (on Debian or Ubuntu: sudo apt-get install chromium) and repeat the command." >&2
    exit 1
}

command -v apt-get >/dev/null || refuse
root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || refuse
    root="sudo DEBIAN_FRONTEND=noninteractive"
    [ -t 0 ] || root="sudo -n DEBIAN_FRONTEND=noninteractive"
fi
echo "Installing Chromium for the browser tests..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { $root apt-get update && $root apt-get install -y --no-install-recommends \
    chromium curl fonts-dejavu-core fonts-noto-core fonts-noto-color-emoji; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    refuse
fi
