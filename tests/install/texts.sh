#!/bin/sh
# texts.sh LIBRARY GENERATOR: the library that is shipped holds no text that only generators and the command line write.
# The generator holds each of them: a text that nobody writes any more proves nothing.
set -eu
library=$1 generator=$2
bad=0 count=0
while IFS= read -r text; do
  grep -qaF -- "$text" "$generator" || { echo "$generator: expected the text '$text', found none"; bad=1; }
  ! grep -qaF -- "$text" "$library" || { echo "$library holds '$text', which only tools write"; bad=1; }
  count=$((count + 1))
done <<'TEXTS'
Made from the contracts by
TAMIS_C_API tamis_status
tamis::capi::PlanTyped
inline constexpr Operator kOperators
from typing import Any, Generic, Literal, NamedTuple
With `strict`, the document's limits too
TEXTS
[ "$bad" = 0 ] || exit 1
echo "none of $count texts of $generator in $library"
