#include "prim/call/token_contract.h"

namespace tamis::prim {

std::vector<base::ShapeForm> QueryForms(const std::string& inner) {
  return {{"BSND", "B, S1, " + inner}, {"TND", "T1, " + inner}};
}

std::vector<base::ShapeForm> KeyForms(const std::string& inner, const KeyNames& names) {
  const auto form = [&](std::initializer_list<const char*> outer) {
    std::string shape;
    for (const char* dim : outer) shape += std::string(dim) + ", ";
    return shape + inner;
  };
  return {{"BSND", form({names.batch, names.padded})},
          {"TND", form({names.packed})},
          {"PA_BSND", form({names.pages, names.page_size})}};
}

std::vector<base::ShapeForm> UnpagedKeyForms(const std::string& inner, const KeyNames& names) {
  std::vector<base::ShapeForm> forms = KeyForms(inner, names);
  forms.pop_back();
  return forms;
}

base::TensorSpec Statistic(const std::string& doc) {
  return {.doc = doc, .dtypes = {DType::kFloat32}, .forms = QueryForms("N")};
}

base::TensorSpec Statistic(const std::string& tokens, const std::string& doc) {
  return {.shape = tokens + ", N", .doc = doc, .dtypes = {DType::kFloat32}};
}

base::TensorSpec QueryLengths() {
  return {.shape = "*",
          .doc =
              "BSND: tokens per sequence, or one for all; absent: S1. TND: inclusive prefix "
              "sums, required; rows past the last are padding",
          .dtypes = {DType::kInt32, DType::kInt64},
          .read_by_plan = true};
}

base::TensorSpec KeyLengths(const KeyNames& names) {
  return {.shape = "*",
          .doc = std::string("keys per sequence, or one for all (BSND, PA_BSND); TND: inclusive "
                             "prefix sums; absent: ") +
                 names.padded + " (BSND only)",
          .dtypes = {DType::kInt32, DType::kInt64},
          .read_by_plan = true};
}

base::TensorSpec BlockTable() {
  return {.shape = "*, *",
          .doc = "[B, max_pages], with PA_BSND only; entries past a sequence's keys are not read",
          .dtypes = {DType::kInt32},
          .read_by_plan = true,
          .page_table = true};
}

base::TensorSpec KeyStarts() {
  return {.shape = "*",
          .doc =
              "per sequence, or one for all, its first key that counts: those before, as of a "
              "sequence padded on the left, are seen by no token; absent: 0",
          .dtypes = {DType::kInt32, DType::kInt64},
          .read_by_plan = true};
}

base::TensorSpec RawTokenLengths() {
  return {
      .shape = "*",
      .doc =
          "with a compress_ratio above 1: raw tokens per sequence, or one for all, of which the "
          "query tokens are the last; absent: there are no others",
      .dtypes = {DType::kInt32, DType::kInt64},
      .read_by_plan = true};
}

base::TensorSpec KeyLimits() {
  return {.doc =
              "per query token: of the keys that it would see, only those before this position "
              "of its sequence; absent: all",
          .dtypes = {DType::kInt32},
          .forms = {{"BSND", "B, S1"}, {"TND", "T1"}}};
}

}  // namespace tamis::prim
