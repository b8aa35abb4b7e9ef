#!/bin/sh
# Installs Debian's Chromium and fonts with Cyrillic and emoji for the browser tests, unless a browser is there already.
set -eu
for name in "${CHROMIUM:-chromium-headless-shell}" chromium-headless-shell chromium chromium-browser google-chrome; do
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
install() {
    $root apt-get install -y --no-install-recommends "$1" curl fonts-dejavu-core fonts-noto-core fonts-noto-color-emoji
}
# Debian has the browser without its windows, which takes half the time; others have the whole of it alone.
if ! { $root apt-get update && { install chromium-headless-shell || install chromium; }; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    refuse
fi
