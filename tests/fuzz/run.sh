#!/usr/bin/env bash
# usage: tests/fuzz/run.sh [TARGET...]
#
# Builds the libFuzzer targets with clang, AddressSanitizer and UndefinedBehaviorSanitizer in
# build-fuzz, and runs each for GOODFS_FUZZ_SECONDS (5) from its seeds in tests/fuzz/corpus and what
# earlier runs found (build-fuzz/corpus). Ends with `N passed, M failed` and fails when one failed;
# the input that broke a target is left in build-fuzz/broken.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${GOODFS_FUZZ_SECONDS:-5}

if [ ! -f build-fuzz/build.ninja ]; then
    CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args=-fsanitize=fuzzer-no-link >/dev/null || exit 1
fi
log=build-fuzz/build.log
ninja -C build-fuzz fuzz-targets >"$log" 2>&1 || { tail -40 "$log"; exit 1; }

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        target=${source##*/fuzz_}
        targets+=("${target%.c}")
    done
fi
mkdir -p build-fuzz/broken
passed=0 failed=0
for target in "${targets[@]}"; do
    found=build-fuzz/corpus/$target seeds=tests/fuzz/corpus/$target log=build-fuzz/$target.log
    mkdir -p "$found"
    if [ -d "$seeds" ] && "build-fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" \
        -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="build-fuzz/broken/$target-" "$found" "$seeds" >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
    else
        failed=$((failed + 1))
        echo "FAIL $target"
        tail -40 "$log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
