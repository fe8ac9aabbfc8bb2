#!/bin/sh
# level_objects.sh NM OBJECT_DIR BUILD_DIR: the objects of files compiled for one level (-m flags) define no weak symbol:
# the linker could otherwise take an inline function's AVX-512 copy for the whole library. Every file that CMake has written
# below BUILD_DIR/units/ops and units/prim must have its object under OBJECT_DIR.
# DW.ref.* is a pointer that the compiler emits for exceptions (with sanitizers here): data, the same for every level.
set -eu
nm=$1 objects=$2 build=$3
count=0 bad=0
for file in $(cd "$build" && find units/ops units/prim -name '*.cc'); do
  object=$objects/$file.o
  [ -f "$object" ] || { echo "$object: expected the object of $file, found none"; exit 1; }
  weak=$("$nm" -C "$object" | grep -E '^[0-9a-f]+ [WwVvu] ' | grep -v ' V DW\.ref\.' || true)
  if [ -n "$weak" ]; then
    printf '%s defines weak symbols:\n%s\n' "$file" "$weak"
    bad=1
  fi
  count=$((count + 1))
done
[ "$count" -gt 0 ] || { echo "$build/units: expected files of levels, found none"; exit 1; }
[ "$bad" = 0 ] || exit 1
echo "no weak symbols in $count objects of levels (found by the names of their sources, read with $nm)"
