#!/bin/sh
# Installs the Debian packages that are missing: deps.sh PACKAGE… Where there is no apt-get it names them and goes on, as
# it cannot tell what is there.
set -eu
missing=
for package in "$@"; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "fewstep: this system has no apt-get; what corresponds to these Debian packages is needed:$missing" >&2
    exit 0
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "fewstep: not root and no sudo; have these packages installed:$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "fewstep: installing$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086 # the list is meant to be split
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
