#!/bin/sh
# Installs what tests/export/test_foreign_viewers.py and tests/viewer/test_browser.py need beside Python: the glTF validator,
# three.js, a driver for browsers, and Chromium.
# Node.js and npm must be there already. Without any of this those tests are skipped.
set -eu
cd "$(dirname "$0")/../tests/export/browser"

npm ci --ignore-scripts --no-audit --no-fund

if ! command -v chromium > /dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        apt-get update
        apt-get install --yes --no-install-recommends chromium
    else
        echo "Chromium is missing: install your system's package called chromium." >&2
        exit 1
    fi
fi
