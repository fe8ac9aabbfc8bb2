// What the contracts of operators on query tokens and keys say in the same words: the shapes and
// lengths that prim/token_sequences.h reads.
#pragma once

#include <string>
#include <vector>

#include "base/contract.h"

namespace tamis::prim {

/// Forms of a tensor of query tokens, by layout_query; `inner` are its dimensions within a token.
std::vector<base::ShapeForm> QueryForms(const std::string& inner);

/// Forms of a tensor of keys, by the layout of the keys; `inner` are its dimensions within a key.
std::vector<base::ShapeForm> KeyForms(const std::string& inner);

base::TensorSpec QueryLengths();
base::TensorSpec KeyLengths();
base::TensorSpec BlockTable();

}  // namespace tamis::prim
