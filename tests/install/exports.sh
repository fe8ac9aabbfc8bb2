#!/bin/sh
# exports.sh NM LIBRARY SOURCE_DIR: libtamis.so exports the names of symbols.txt (with <op> for every operator of
# tamis_ops.h), C and C++, and nothing else. A name that is missing breaks programs that link the library; one too many
# is a promise that nobody meant.
set -eu
nm=$1 library=$2 source=$3
LC_ALL=C
export LC_ALL

ops=$(sed -n 's/^} tamis_\([a-z0-9_]*\)_params;$/\1/p' "$source/include/tamis/tamis_ops.h")
[ -n "$ops" ] || { echo "tamis_ops.h: expected a params struct per operator, found none"; exit 1; }
expected=$({
  grep -v '<op>' "$source/tests/install/symbols.txt"
  for op in $ops; do sed -n "s/<op>/$op/gp" "$source/tests/install/symbols.txt"; done
} | sort)
# A constructor is exported under two names that read the same.
found=$("$nm" -D -C --defined-only "$library" | sed 's/^[0-9a-f]* *. //' | sort -u)

if [ "$expected" != "$found" ]; then
  echo "$library exports other symbols than symbols.txt says (< said, > exported):"
  said=$(mktemp)
  printf '%s\n' "$expected" >"$said"
  printf '%s\n' "$found" | diff "$said" - | grep '^[<>]' || true
  rm -f "$said"
  exit 1
fi
count() { printf '%s\n' "$found" | grep -c "$@"; }
echo "$library: $(count -v '^tamis::') C symbols and $(count '^tamis::') C++ names as listed, nothing else"
