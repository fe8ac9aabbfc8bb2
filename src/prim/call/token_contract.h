// What the contracts of operators on query tokens and keys say in the same words: the shapes and
// lengths that prim/call/token_sequences.h reads.
#pragma once

#include <string>
#include <vector>

#include "base/contract.h"
#include "prim/call/token_sequences.h"

namespace tamis::prim {

/// Forms of a tensor of query tokens, by layout_query; `inner` are its dimensions within a token.
std::vector<base::ShapeForm> QueryForms(const std::string& inner);

/// Forms of a tensor of keys, by the layout of the keys; `inner` are its dimensions within a key.
std::vector<base::ShapeForm> KeyForms(const std::string& inner, const KeyNames& names = {});

/// The same where keys are never in pages.
std::vector<base::ShapeForm> UnpagedKeyForms(const std::string& inner, const KeyNames& names = {});

/// softmax_max or softmax_sum of every query token and head, where all operators have them: the
/// query's leading dimensions, then its heads.
base::TensorSpec Statistic(const std::string& doc);
/// The same where query tokens have one form, the dimensions `tokens`.
base::TensorSpec Statistic(const std::string& tokens, const std::string& doc);

base::TensorSpec QueryLengths();
base::TensorSpec KeyLengths(const KeyNames& names = {});
base::TensorSpec BlockTable();
/// What hides keys from query tokens beside causality: see Params of the attention operators.
base::TensorSpec KeyStarts();
base::TensorSpec KeyLimits();
/// And of keys that each stand for several raw tokens.
base::TensorSpec RawTokenLengths();
inline constexpr const char* kCompressRatioDoc =
    "raw tokens that a key stands for: with sparse_mode 3 a token at position t sees the first "
    "floor((t + 1) / compress_ratio) keys";

}  // namespace tamis::prim
