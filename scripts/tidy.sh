#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over the sources that ./test builds:
#   scripts/tidy.sh            all of them; takes a while
#   scripts/tidy.sh graph/     those whose path has this in it
# Not part of ./test for its time. Needs Debian's clang-tidy and libomp-dev.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

build=$root/build/release
if [[ ! -f $build/compile_commands.json ]]; then
  echo "tidy.sh: $build is not configured; run ./test --quick first" >&2
  exit 1
fi
sed -n 's/^ *"file": "\(.*\)",\?$/\1/p' "$build/compile_commands.json" |
  grep -F "$root/${1-}" | grep '\.cc$' | grep -v "^$build/" | sort -u |
  xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p "$build"
