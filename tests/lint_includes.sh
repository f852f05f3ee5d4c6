#!/bin/sh
# Which folder may include which, and what else a compiler does not say. Part of `make lint`.
#     tests/lint_includes.sh [ROOT]       the tree at ROOT (default: here); 1 and a line for each fault
#     tests/lint_includes.sh --self-check plants one fault of each kind in a small tree and must find it
set -u

# A folder, and what it may include besides itself; what those may include it may, too. The order is that of design.md,
# section 2: cli → run, report, compare, bench → results → store; run → train, sample → model, data → config; harness →
# methods, metrics → kernels → kernels/base. `harness` alone is build_info.h.
allowed() {
    cat <<'END'
harness/cli         harness/report harness/compare harness/bench harness/run
harness/report      harness/results harness/data
harness/compare     harness/run
harness/bench       harness/run
harness/run         harness/results harness/train harness/git
harness/results     harness/store harness/git
harness/store       harness harness/config kernels/cpu
harness/train       harness/sample
harness/sample      harness/checkpoint harness/data harness/comm
harness/comm/mpi    harness/comm
harness/comm        kernels/base
harness/checkpoint  harness/model
harness/model       harness/config
harness/data        harness/config
harness/config      harness/text methods metrics
harness/git         harness kernels/base
harness/text        kernels/base
methods             kernels
metrics             kernels
kernels/cpu/isa     kernels/cpu
kernels/cpu         kernels
kernels/cuda/cudnn  kernels/cuda
kernels/cuda/nccl   kernels/cuda
kernels/cuda        kernels
kernels             kernels/base
END
}

# What is still there and not wanted: FOLDER INCLUDED, or struct|function NAME. It only gets shorter; an entry that
# nothing needs is a fault.
exceptions() {
    cat <<'END'
END
}

lint() {
    faults=$(mktemp) && edges=$(mktemp) || return 1
    sources=$(cd "$1" && find harness methods metrics kernels -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort)
    (cd "$1" && echo "$sources" | xargs grep -n '^ *# *include *"' /dev/null) | awk '
        { split($0, at, ":"); from = at[1]; to = $0; sub(/^[^"]*"/, "", to); sub(/".*/, "", to)
          sub(/\/[^\/]*$/, "", from); sub(/\/[^\/]*$/, "", to)
          if (from != to) print from, to, at[1] ":" at[2] }' > "$edges"

    # Upward: an edge that the list does not allow. A circle in the list itself is a fault of the list.
    { allowed; echo --; exceptions; echo --; cat "$edges"; } | awk '
        function below(folder, top,   i, n, next_ones) {
            n = split(may[folder], next_ones, " ")
            for (i = 1; i <= n; i++) {
                if (next_ones[i] == top) { print "the list of folders has a circle through " top; next_ones[i] = "" }
                if (next_ones[i] != "" && !((top, next_ones[i]) in good)) {
                    good[top, next_ones[i]] = 1
                    below(next_ones[i], top)
                }
            }
        }
        $1 == "--" { part++; if (part == 1) for (folder in may) below(folder, folder); next }
        part == 0 { folder = $1; $1 = ""; may[folder] = $0; next }
        part == 1 { excepted[$1, $2] = 1; next }
        ($1, $2) in good { next }
        ($1, $2) in excepted { used[$1, $2] = 1; next }
        { print $3 ": " $1 " may not include " $2 }
        END { for (edge in excepted) if (!(edge in used)) {
                  split(edge, names, SUBSEP)
                  if (names[2] ~ /\//) print "the exception " names[1] " → " names[2] " is not needed any more: remove it" } }' >> "$faults"

    # A circle among the folders that are there, the exceptions apart.
    { exceptions; echo --; cut -d' ' -f1,2 "$edges" | sort -u; } | awk '
        $1 == "--" { part = 1; next } !part { excepted[$1, $2] = 1; next } !(($1, $2) in excepted)' |
        tsort 2>&1 >/dev/null | sed -n 's/^tsort: \(.*\/.*\)/a circle of includes through \1/p' >> "$faults"

    # Two headers under one guard: whoever includes both silently loses one.
    (cd "$1" && for file in $(echo "$sources" | grep -E '\.(h|cuh)$'); do
        awk -v file="$file" '/^#ifndef/ { print $2, file; exit }' "$file"
    done) | sort | awk '$1 == last { print $2 ": the include guard " $1 " is that of " file } { last = $1; file = $2 }' >> "$faults"

    # A public name, which is one with fs_ that a header declares, belongs to one thing: to one declaration of a
    # function, to one function body, to one struct, union or enum. A body behind #else stands for what is not built.
    (exceptions; echo --; cd "$1" && echo "$sources" | xargs awk '
        function note(kind, name) { print kind, name, FILENAME }
        FNR == 1 { header = FILENAME ~ /\.(h|cuh)$/; candidate = ""; other = 0 }
        /^ *# *else/ { other = 1 }
        /^ *# *endif/ { other = 0 }
        /^(typedef )?(struct|union|enum) fs_[a-z0-9_]+ \{/ {
            name = $0; sub(/^typedef /, "", name); split(name, words, " "); note(header ? "H" : "T", words[1] " " words[2])
        }
        /^[a-z]/ && !other && match($0, /fs_[a-z0-9_]+\(/) && !/^typedef/ && $0 !~ /^[^(]*=/ {
            candidate = substr($0, RSTART, RLENGTH - 1); pending = header
        }
        candidate != "" && /;$/ { if (pending) note("D", "function " candidate); candidate = "" }
        /^\{/ && candidate != "" { note(header ? "B" : "F", "function " candidate); candidate = "" }
        ' ) | awk '
        $1 == "--" { part = 1; next }
        !part { excepted[$1 " " $2] = 1; next }
        { name = $2 " " $3 }
        $1 == "H" || $1 == "D" || $1 == "B" { public[name] = 1 }
        $1 == "H" || $1 == "T" || $1 == "B" || $1 == "F" { if (!((name, "body", $4) in seen)) {
            seen[name, "body", $4] = 1; bodies[name]++; where[name] = where[name] " " $4 } }
        $1 == "D" || $1 == "B" { if (!((name, "declared", $4) in seen)) {
            seen[name, "declared", $4] = 1; declared[name]++; headers[name] = headers[name] " " $4 } }
        END { for (name in public) {
            if (name in excepted && bodies[name] + declared[name] > 1) { delete excepted[name]; continue }
            if (bodies[name] > 1) print "the public " name " is defined more than once:" where[name]
            if (declared[name] > 1) print "the public " name " is declared more than once:" headers[name] }
            for (name in excepted) if (name !~ /\//) print "the exception " name " is not needed any more: remove it" }' | sort >> "$faults"

    # Other people'\''s headers have one home each.
    (cd "$1" && echo "$sources" | xargs grep -nE '^ *# *include *<(cuda|cublas|cudnn|nccl|curand)' /dev/null) |
        grep -v '^kernels/cuda/' | sed 's/:[^:]*$/: a CUDA header outside kernels\/cuda/' >> "$faults"
    (cd "$1" && echo "$sources" | xargs grep -lE '^ *# *include *<(dnnl|oneapi\/dnnl)' /dev/null) | awk '
        !/^kernels\/cpu\// { print $0 ": oneDNN outside kernels/cpu"; next }
        count++ { print $0 ": a second file that includes oneDNN" }' >> "$faults"

    cat "$faults"
    test ! -s "$faults"
    good=$?
    rm -f "$faults" "$edges"
    return $good
}

# plant FILE TEXT EXPECTED: with that line in the tree, the lint says so.
plant() {
    mkdir -p "$tree/$(dirname "$1")"
    test -e "$tree/$1" && cp "$tree/$1" "$tree/kept"
    printf '%b\n' "$2" >> "$tree/$1"
    if ! lint "$tree" | grep -qF -- "$3"; then
        echo "self-check: not seen: $3, after '$2' in $1" >&2
        missed=1
    fi
    rm "$tree/$1"
    test -e "$tree/kept" && mv "$tree/kept" "$tree/$1"
}

self_check() {
    tree=$(mktemp -d) missed=0
    mkdir -p "$tree/harness/train" "$tree/harness/sample" "$tree/harness/model" "$tree/methods" "$tree/metrics" "$tree/kernels/cpu"
    exceptions() { :; }
    printf '#ifndef FEWSTEP_A_H\n#define FEWSTEP_A_H\nstruct fs_a {\n    int x;\n};\nint fs_of(int x,\n          int y);\n#endif\n' \
        > "$tree/harness/model/a.h"
    printf '#include "harness/model/a.h"\nstruct own {\n    int x;\n};\nint fs_of(int x,\n          int y)\n{\n    return own(y);\n}\n' \
        > "$tree/harness/model/a.c"
    printf '#include <dnnl.h>\n' > "$tree/kernels/cpu/a.h"
    printf '#include "harness/model/a.h"\nstruct own {\n    int y;\n};\n' > "$tree/harness/train/a.c"
    if ! lint "$tree"; then
        echo "self-check: a good tree is refused" >&2
        missed=1
    fi
    plant harness/model/up.c '#include "harness/train/x.h"' 'harness/model may not include harness/train'
    plant harness/model/up.c '#include "harness/train/x.h"' 'a circle of includes through harness/'
    plant methods/up.c '#include "harness/store/store.h"' 'methods may not include harness/store'
    plant metrics/up.c '#include "harness/train/trainer.h"' 'metrics may not include harness/train'
    plant harness/train/b.h '#ifndef FEWSTEP_A_H' 'the include guard FEWSTEP_A_H is that of harness/model/a.h'
    plant harness/train/b.h 'struct fs_a {' 'the public struct fs_a is defined more than once'
    plant harness/train/a.c 'struct fs_a {' 'the public struct fs_a is defined more than once'
    plant harness/train/b.h 'int fs_of(int x,\n          int y);' 'the public function fs_of is declared more than once'
    plant harness/train/a.c 'static int fs_of(int x)\n{' 'the public function fs_of is defined more than once'
    plant metrics/c.c '#include <cudnn.h>' 'a CUDA header outside kernels/cuda'
    plant metrics/c.c '#include <dnnl.h>' 'oneDNN outside kernels/cpu'
    plant kernels/cpu/b.c '#include <dnnl.h>' 'a second file that includes oneDNN'
    exceptions() { echo 'harness/model harness/store'; }
    plant harness/train/a.c '/* nothing */' 'the exception harness/model → harness/store is not needed any more'
    rm -rf "$tree"
    return $missed
}

if [ "${1:-}" = --self-check ]; then
    self_check
else
    lint "${1:-.}"
fi
