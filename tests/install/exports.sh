#!/bin/sh
# exports.sh NM LIBRARY SOURCE_DIR: libtamis.so exports the C symbols of symbols.txt (with <op> for every operator of
# tamis_ops.h), the C++ names of namespace tamis, and nothing else.
set -eu
nm=$1 library=$2 source=$3
LC_ALL=C
export LC_ALL

ops=$(sed -n 's/^} tamis_\([a-z0-9_]*\)_params;$/\1/p' "$source/include/tamis/tamis_ops.h")
[ -n "$ops" ] || { echo "tamis_ops.h: expected a params struct per operator, found none"; exit 1; }
expected=$({
  grep -v '<op>' "$source/tests/install/symbols.txt"
  for op in $ops; do sed -n "s/<op>/$op/p" "$source/tests/install/symbols.txt"; done
} | sort)

names=$("$nm" -D -C --defined-only "$library" | sed 's/^[0-9a-f]* *. //')
found=$(printf '%s\n' "$names" | grep -v '^tamis::' | sort)
cxx=$(printf '%s\n' "$names" | grep -c '^tamis::' || true)

if [ "$expected" != "$found" ]; then
  echo "$library exports other symbols than symbols.txt says (< said, > exported):"
  said=$(mktemp)
  printf '%s\n' "$expected" >"$said"
  printf '%s\n' "$found" | diff "$said" - | grep '^[<>]' || true
  rm -f "$said"
  exit 1
fi
[ "$cxx" -gt 0 ] || { echo "$library: expected the C++ interface too, found no name in tamis::"; exit 1; }
echo "$library: $(printf '%s\n' "$found" | wc -l) C symbols as listed, $cxx C++ names in tamis::, nothing else"
