#!/usr/bin/env bash
# Checks what a compiler does not: size, format, left-over markers, the direction of dependencies,
# generated documents. Prints one line per check, beginning with ok:, FAILED: or skipped:.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly max_lines=600
readonly clang_format_major=14
readonly folders=(graph passes backends models runtime tools proto tests bench)
status=0

# Sources in our own languages. The recipe of the embedded model stays as it was when it ran.
sources() {
  find "${folders[@]}" cmake scripts .ci CMakeLists.txt run test -type f \
    \( -name '*.h' -o -name '*.cc' -o -name '*.S' -o -name '*.comp' -o -name '*.glsl' \
    -o -name '*.proto' -o -name '*.cmake' -o -name CMakeLists.txt -o -name '*.sh' \
    -o -path '.ci/run' -o -path run -o -path test \) -not -path '*/embedded/recipe/*' | sort
}

# check NAME FINDINGS: fine if there are no findings.
check() {
  if [[ -z $2 ]]; then
    echo "ok: $1"
  else
    echo "FAILED: $1"
    printf '  %s\n' "${2//$'\n'/$'\n  '}"
    status=1
  fi
}

too_long() {
  sources | xargs -r wc -l | awk -v max="$max_lines" '$2 != "total" && $1 > max { print $2 ": " $1 " lines" }'
}

# The brackets keep this file out of its own findings.
left_over_markers() {
  sources | xargs -r grep -nE '\b([T]ODO|[F]IXME|[X]XX|[H]ACK)\b' || true
}

badly_formatted() {
  sources | grep -E '\.(h|cc)$' | xargs -r clang-format --dry-run 2>&1 |
    sed -n 's/^\([^:]*\):.*code should be clang-formatted.*/\1/p' | uniq -c |
    awk '{ print $2 ": " $1 " places" }' || true
}

# forbidden_includes FOLDER ALLOWED: lines of FOLDER that include a header of the project whose path
# does not begin as the regular expression ALLOWED says.
forbidden_includes() {
  local ours
  ours=$(IFS='|' && echo "${folders[*]}")
  grep -rnE --include='*.h' --include='*.cc' "^#include \"($ours)/" "$1" |
    grep -vE "#include \"($2)" || true
}

# Which folder may include which; the README of each says why. passes and runtime know backends by
# their interfaces only, the headers directly in backends/.
wrong_dependencies() {
  forbidden_includes graph 'graph/|proto/'
  forbidden_includes passes 'passes/|graph/|proto/|backends/[a-z_]+\.h'
  forbidden_includes backends 'backends/|graph/|proto/'
  forbidden_includes models 'models/|graph/|proto/'
  forbidden_includes runtime 'runtime/|passes/|graph/|proto/|backends/[a-z_]+\.h'
  forbidden_includes tools '(tools|models|runtime|passes|backends|graph|proto)/'
}

without_pragma_once() {
  find "${folders[@]}" -name '*.h' -print0 | xargs -0 -r grep -L '^#pragma once$' || true
}

# generated DOCUMENT COMMAND...: the document is what the command prints.
check_generated() {
  local document=$1
  shift
  if [[ ! -x build/release/sluice ]]; then
    echo "skipped: $document (build/release/sluice is not built)"
  elif cmp -s "$document" <("$@"); then
    echo "ok: $document is what \`$*\` prints"
  else
    check "$document is what \`$*\` prints" "run: $* > $document"
  fi
}

check "no file over $max_lines lines" "$(too_long)"
check "no left-over markers" "$(left_over_markers)"
check "dependencies point one way" "$(wrong_dependencies)"
check "every header has #pragma once" "$(without_pragma_once)"
if clang-format --version 2>/dev/null | grep -q "version $clang_format_major\."; then
  check "clang-format" "$(badly_formatted)"
else
  echo "skipped: clang-format (version $clang_format_major is not installed)"
fi
check_generated docs/ops.txt build/release/sluice ops

exit "$status"
