#!/bin/sh
# Where the program goes, and what it needs to work from any folder: `make install` and `make uninstall` call it.
#     install.sh install|uninstall PROGRAM PREFIX [DESTDIR]
# PREFIX/bin/fewstep; PREFIX/lib/fewstep: modules for MPI and CUDA, where they lie beside PROGRAM;
# PREFIX/share/fewstep: experiments and weights; a man page and bash's completion, both made by PROGRAM.
set -eu
verb=$1
program=$2
prefix=$3
root=${4:-}$prefix
man=$root/share/man/man1/fewstep.1
completion=$root/share/bash-completion/completions/fewstep
case $prefix in
/*) ;;
*)
    echo "fewstep: PREFIX: expected a path that begins with /, got '$prefix'" >&2
    exit 2
    ;;
esac
if [ "$verb" = uninstall ]; then
    rm -f "$root/bin/fewstep" "$man" "$completion"
    rm -rf "$root/lib/fewstep" "$root/share/fewstep"
    exit 0
fi
install -d "$root/bin" "$root/lib/fewstep" "$root/share/fewstep/experiments" "$root/share/fewstep/metrics" \
    "$(dirname "$man")" "$(dirname "$completion")"
install -m 755 "$program" "$root/bin/fewstep"
for module in "$(dirname "$program")"/libfewstep_*.so; do
    [ ! -f "$module" ] || install -m 755 "$module" "$root/lib/fewstep/"
done
install -m 644 experiments/*.yaml experiments/*.sql "$root/share/fewstep/experiments/"
install -m 644 metrics/*.safetensors "$root/share/fewstep/metrics/"
"$program" --help=man >"$man"
"$program" --help=bash >"$completion"
chmod 644 "$man" "$completion"
echo "fewstep: installed in $root" >&2
