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
    \( -name '*.h' -o -name '*.cc' -o -name '*.S' -o -name '*.comp' -o -name '*.glsl' -o -name '*.inc' \
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

# Of scripts and pages, too, and of the recipe.
too_long() {
  { sources && find "${folders[@]}" -name '*.py' -o -name '*.js' -o -name '*.mjs' -o -name '*.css' -o -name '*.html'; } |
    grep -v node_modules | xargs -r wc -l | awk -v max="$max_lines" '$2 != "total" && $1 > max { print $2 ": " $1 " lines" }'
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

# includes: "FILE HEADER" for each header of the project, by its path, that a source includes.
includes() {
  local ours
  ours=$(IFS='|' && echo "${folders[*]}")
  grep -roE --include='*.h' --include='*.cc' "^#include \"($ours)/[^\"]+" "${folders[@]}" |
    sed 's/:#include "/ /'
}

# forbidden_includes FOLDER ALLOWED: lines of FOLDER that include a header of the project whose path
# does not begin as the regular expression ALLOWED says.
forbidden_includes() {
  awk -v folder="$1/" -v allowed="^($2)" 'index($1, folder) == 1 && $2 !~ allowed {
    print $1 " includes " $2 }' <<<"$all_includes"
}

# Which folder may include which; the README of each says why. What is directly in backends/ are
# interfaces: passes and runtime know no others, and no backend knows another one.
wrong_dependencies() {
  local folder
  forbidden_includes graph 'graph/|proto/'
  forbidden_includes passes 'passes/|graph/|proto/|backends/[a-z_]+\.h'
  forbidden_includes backends 'backends/|graph/|proto/'
  forbidden_includes models 'models/|graph/'
  forbidden_includes runtime 'runtime/|passes/|graph/|proto/|backends/[a-z_]+\.h'
  forbidden_includes tools '(tools|models|runtime|passes|backends|graph|proto)/'
  forbidden_includes tools/server '(tools/(server|pages)|models|runtime|passes|graph)/|backends/[a-z_]+\.h'
  forbidden_includes tools/engine '(tools/(engine|machine)|models|runtime|passes|backends|graph)/'
  awk '$1 ~ /^backends\/[a-z_]+\.(h|cc)$/ && $2 ~ /^backends\/.*\// {
    print $1 " includes " $2 }' <<<"$all_includes"
  for folder in backends/*/; do
    forbidden_includes "${folder%/}" "$folder|backends/[a-z_]+\.h|graph/|proto/"
  done
}

# Folders that include each other, directly or by way of others, with the circle that they make. A
# folder and one inside it are two.
folder_circles() {
  awk '{ for (i = 1; i <= 2; ++i) sub("/[^/]*$", "", $i); if ($1 != $2) print }' <<<"$all_includes" |
    sort -u | tsort 2>&1 >/dev/null | sed 's/^tsort: //; s/^-: .*/a circle:/'
}

# foreign_includes HEADERS WHERE: sources outside of WHERE that include third-party HEADERS; both
# are regular expressions.
foreign_includes() {
  grep -rnE --include='*.h' --include='*.cc' "^#include [<\"]($1)" "${folders[@]}" | grep -vE "^($2)" ||
    true
}

# Libraries stay where the READMEs say, and only main() sees the environment.
wrong_libraries() {
  foreign_includes 'oneapi/|dnnl|omp\.h' 'backends/cpu/|bench/'
  foreign_includes 'vulkan/vulkan' 'backends/vulkan/|tests/backends/vulkan/'
  foreign_includes 'CLI/' 'tools/[a-z_]+\.(h|cc):|bench/'
  foreign_includes 'httplib' 'tools/load/|tests/'
  foreign_includes 'nlohmann/' 'tools/|runtime/constraint/|tests/|bench/'
  foreign_includes 'pcre2|utf8proc' 'models/'
  foreign_includes 'histedit' 'tools/terminal/'
  grep -rnE --include='*.h' --include='*.cc' '\b(secure_)?getenv *\(' "${folders[@]}" |
    grep -vE '^(tools/main\.cc|tests/|bench/)' || true
}

# Each README names what its folder holds: folders and headers directly in it, and those of a folder
# that is named nowhere. Nothing that it names as `FILE.h` or `FOLDER/` is missing.
incomplete_readmes() {
  local readme folder names entry name path
  while IFS= read -r readme; do
    folder=$(dirname "$readme")
    # Words between backquotes; `a*` and `a.h` name what they match.
    mapfile -t names < <(grep -oE '`[^` ]+`' "$readme" | tr -d '`' | sed 's,/$,,')
    while IFS= read -r entry; do
      for name in "${names[@]}"; do
        # shellcheck disable=SC2053
        [[ $entry == $name || $entry == $name/* ]] && continue 2
      done
      echo "$readme does not name $entry"
    done < <(find "$folder" -mindepth 1 \( -name '*.h' -o -type d ! -name data ! -name testdata \) \
      -not -path "$folder/*/data/*" -printf '%P\n' | grep -vE '(^|/)(data|recipe|img)(/|$)' | sort)
    for name in "${names[@]}"; do
      [[ $name =~ ^[a-z0-9_/]+\.h$ ]] || continue
      for path in "$folder/$name" "$name" "$folder"/*/"${name##*/}"; do
        [[ -e $path ]] && continue 2
      done
      echo "$readme names $name, which is not there"
    done
  done < <(find graph passes backends models runtime tools tests proto bench -maxdepth 2 -name README.md |
    grep -vE '^tests/data|testdata' | sort)
}

documents() { find README.md docs "${folders[@]}" -name '*.md' -not -path '*/data/*'; }

# Files that documents name, in backquotes with a folder or in links, and that are not there.
missing_files() {
  local at name
  while IFS=' ' read -r at name; do
    [[ -e $name || -e $(dirname "${at%%:*}")/$name ]] || echo "$at names $name"
  done < <(documents | xargs grep -noE '`[a-zA-Z0-9_./-]+/[a-zA-Z0-9_.-]+\.[a-z]+`|\]\([^)#: ]+\)' |
    sed -E 's/^([^:]*:[0-9]*):(`|\]\()(.*)[`)]$/\1 \3/' | grep -vE ' (\.\./shared/|.*NAME)')
}

# Flags that documents name and that neither the program nor a script knows. Those of other
# programs: numactl's, cmake's, a timer's.
unknown_flags() {
  local program=build/release/sluice command
  {
    "$program" --help
    for command in $("$program" --help | sed -nE 's/^  ([a-z-]+) .*/\1/p'); do
      "$program" "$command" --help
    done
    cat run test scripts/*.sh bench/*.sh bench/peers/run bench/peers/*.mjs bench/peers/*.cc \
      tests/support/*.cc tests/*/*_test.cc
    echo "--cpunodebind --membind --preset --interleave"
  } 2>/dev/null | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u >"$1"
  documents | xargs grep -noP -- '(?<![\w/-])--[a-z][a-z0-9-]+(?![\w/])' |
    sed -E 's/^([^:]*:[0-9]*):/\1 /' | while IFS=' ' read -r at flag; do
      grep -qxF -- "$flag" "$1" || echo "$at names $flag"
    done
}

# Operands have names (graph/op_call.h); only the files of the ops themselves may count them.
numbered_operands() {
  grep -rnE --include='*.h' --include='*.cc' \
    '\b([oO]perand|Has|Parts|RowsPerPart|(F32|I32)OrNull)\(([0-9]|k[A-Z][A-Za-z]*\))|operands(\(\))?\[([0-9]|k[A-Z][A-Za-z]*\])' \
    "${folders[@]}" | grep -vE '^graph/(ops/|graph\.h)' || true
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

all_includes=$(includes)
check "no file over $max_lines lines" "$(too_long)"
check "no left-over markers" "$(left_over_markers)"
check "dependencies point one way" "$(wrong_dependencies)"
check "no circle of folders" "$(folder_circles)"
check "libraries stay where they belong" "$(wrong_libraries)"
check "READMEs name what their folders hold" "$(incomplete_readmes)"
check "files that documents name are there" "$(missing_files)"
if [[ -x build/release/sluice ]]; then
  known_flags=$(mktemp)
  check "flags that documents name exist" "$(unknown_flags "$known_flags")"
  rm -f "$known_flags"
else
  echo "skipped: flags that documents name (build/release/sluice is not built)"
fi
check "operands have names, not numbers" "$(numbered_operands)"
check "every header has #pragma once" "$(without_pragma_once)"
if clang-format --version 2>/dev/null | grep -q "version $clang_format_major\."; then
  check "clang-format" "$(badly_formatted)"
else
  echo "skipped: clang-format (version $clang_format_major is not installed)"
fi
check_generated docs/ops.txt build/release/sluice ops

exit "$status"
