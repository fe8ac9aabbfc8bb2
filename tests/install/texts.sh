#!/bin/sh
# texts.sh LIBRARY SOURCE_DIR: the library that is shipped holds no text that only generators write. Each of these stands in
# a generated file, else it proves nothing. They are long: compilers cut short ones into immediates.
set -eu
library=$1 source=$2
bad=0 count=0
while IFS=: read -r file text; do
  grep -qF -- "$text" "$source/$file" || { echo "$file: expected the text '$text', found none"; bad=1; }
  ! grep -qaF -- "$text" "$library" || { echo "$library holds '$text', which only generators write"; bad=1; }
  count=$((count + 1))
done <<'TEXTS'
src/capi/typed_ops.cc:Made from the contracts by `dev generate`
include/tamis/tamis_ops.h:Sets struct_size and the defaults of the members that lie within `struct_size` bytes.
python/tamis/_ops.py:an argument is absent or wrong; the message says which, what was expected and what came
src/ops/nsa_compress/README.md:With `strict`, the document's limits too:
TEXTS
[ "$bad" = 0 ] || exit 1
echo "$library holds none of $count texts that only generators write"
