// Linked into a program, makes the float64 reference run all its calls.
#include "aclnnop/aclnn_nsa_compress.h"

namespace {

struct Reference {
  Reference() {
    tamis_context_create(&context);
    tamis_context_set_implementation(context, TAMIS_IMPLEMENTATION_REFERENCE);
    tamis_ascend_set_context(context);
  }
  ~Reference() {
    tamis_ascend_set_context(nullptr);
    tamis_context_destroy(context);
  }
  tamis_context* context = nullptr;
};

const Reference reference;

}  // namespace
