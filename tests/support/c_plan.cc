#include "tests/support/c_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tamis::test {

CPlan::CPlan(const CCall& call, const tamis_context* context) {
  std::vector<tamis_named_tensor> shapes = call.tensors;
  for (tamis_named_tensor& tensor : shapes) {
    if (!call.contract().Find(tensor.name)->read_by_plan) tensor.tensor.data = nullptr;
  }
  const tamis_status status = tamis_plan_by_name(
      context, call.contract().name.c_str(), shapes.data(), static_cast<int64_t>(shapes.size()),
      call.attributes.data(), static_cast<int64_t>(call.attributes.size()), &plan_);
  EXPECT_EQ(status, TAMIS_OK) << call.contract().name << ": " << tamis_last_error();
}

tamis_status CPlan::Run(const std::vector<tamis_named_tensor>& tensors) const {
  return tamis_plan_run_by_name(plan_, tensors.data(), static_cast<int64_t>(tensors.size()),
                                nullptr, 0, nullptr);
}

tamis_status CPlan::Renew(const CCall& call, int32_t* changed) {
  std::vector<tamis_named_attribute> lists;
  for (const tamis_named_attribute& attribute : call.attributes) {
    if (attribute.type == TAMIS_ATTRIBUTE_INTS) lists.push_back(attribute);
  }
  return tamis_plan_renew_by_name(plan_, call.tensors.data(),
                                  static_cast<int64_t>(call.tensors.size()), lists.data(),
                                  static_cast<int64_t>(lists.size()), changed);
}

std::vector<double> ElementsOf(const TestCall& call, const std::string& output) {
  std::vector<double> elements;
  for (int64_t i = 0; i < call.OutputElems(output); ++i) elements.push_back(call.Got(output, i));
  return elements;
}

bool Same(const std::vector<double>& a, const std::vector<double>& b) {
  const auto same = [](double x, double y) { return x == y || (x != x && y != y); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

}  // namespace tamis::test
