// Attention of the operators on query tokens and keys: their layouts as sources and sequences.
#pragma once

#include "prim/attention/call.h"
#include "prim/call/token_sequences.h"

namespace tamis::prim::attention {

/// Of a tensor with the queries' leading dimensions, then heads.
Heads HeadsOf(const TokenProblem& p, const TensorView& view);

/// Of a tensor with the keys' leading dimensions, then heads.
Rows RowsOf(const TokenProblem& p, const TensorView& view);

/// Limits of query tokens, if they have some.
void BindLimits(const TokenProblem& p, const TensorView& limits, Source* source);

/// The page table of the keys, if there is one.
void SetPages(const TokenProblem& p, Source* source);

/// The sequences of the problem, whose keys are those of the first source.
void AddSequences(const TokenProblem& p, bool causal, Call* call);

/// Of a problem with the same query tokens: its keys are those of the next source.
void AddSource(const TokenProblem& p, bool causal, Call* call);

}  // namespace tamis::prim::attention
