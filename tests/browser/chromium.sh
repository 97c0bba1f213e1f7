#!/bin/sh
# Installs Debian's Chromium and a Chinese font, where this user may; says plainly when it cannot.
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing Chromium for the page tests"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium fonts-noto-cjk; } >/dev/null 2>&1 && exit 0
fi
echo "Chromium is not installed and could not be installed: the page tests in tests/browser will be left out." >&2
echo "To include them: apt install chromium fonts-noto-cjk" >&2
exit 0
