#!/usr/bin/env bash
# Counts the instructions of the hot path, for each command and for each replayed event, and holds them against
# instructions.json: where times are too noisy, these are not. `--update` writes what was counted there.
#
# Each figure is the difference of two sizes, so what comes before and behind doesn't count. More than 3 % above the file
# fails; more than 3 % below it is told, so that the file can be lowered.
set -euo pipefail
cd "$(dirname "$0")"
file=instructions.json

if ! command -v valgrind > /dev/null; then
    echo "valgrind is missing: no instructions are counted"
    exit 0
fi
cargo build --release --locked --quiet -p annals-bench --bin hot
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')

# Instructions of the least of three runs: a thread that is scheduled otherwise adds some. Without a cache to simulate,
# counting is cheap.
count() {
    for _ in 1 2 3; do
        valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$target/release/hot" "$@" 2>&1 |
            sed -nE 's/.* I +refs: +([0-9,]+).*/\1/p' | tr -d ,
    done | sort -n | head -n 1
}

# What one of the things between two sizes takes.
each() {
    local few many
    few=$(count "$1" "$2")
    many=$(count "$1" "$3")
    test -n "$few" && test -n "$many" || { echo "valgrind tells no instructions of 'hot $1'" >&2; return 1; }
    echo $(((many - few) / ($3 - $2)))
}

commands=$(each commands 20000 120000)
replay=$(each replay 0 200000)
if [ "${1-}" = --update ]; then
    printf '{\n    "command": %s,\n    "replayed_event": %s\n}\n' "$commands" "$replay" > "$file"
fi

failed=0
# Name, what was counted.
hold() {
    local kept
    kept=$(sed -nE "s/.*\"$1\": *([0-9]+).*/\1/p" "$file")
    echo "instructions for each $1: $2, and $kept in $file"
    if [ $(($2 * 100)) -gt $((kept * 103)) ]; then
        echo "    that is over 3 % more: find out why, or say so in $file with --update"
        failed=1
    elif [ $(($2 * 100)) -lt $((kept * 97)) ]; then
        echo "    that is over 3 % less: lower it in $file with --update, so that it stays so"
    fi
}
hold command "$commands"
hold replayed_event "$replay"
exit "$failed"
