#!/bin/sh
# Prints files as C texts: page_assets.sh NAME FILE [NAME FILE]…, each as `const char fs_NAME[]`.
set -eu
echo '#include "harness/report/page_assets.h"'
while [ $# -gt 0 ]; do
    echo "const char fs_$1[] ="
    od -An -v -to1 "$2" | sed 's/ \([0-7]*\)/\\\1/g; s/.*/    "&"/'
    echo ';'
    shift 2
done
