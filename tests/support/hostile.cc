#include "tests/support/hostile.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/checked.h"
#include "capi/handles.h"

namespace tamis::test {
namespace {

using Expect = Change::Expect;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMostElems = int64_t{1} << 16;

std::string Text(int64_t value) { return std::to_string(value); }

// Elements of a sound view, from its first to one past its last in memory, and without gaps.
int64_t Extent(const tamis_tensor& t) {
  int64_t last = 0;
  for (int i = 0; i < t.rank; ++i) {
    if (t.shape[i] == 0) return 0;
    last += (t.shape[i] - 1) * t.strides[i];
  }
  return last + 1;
}

// Makes the changes of one argument; `changes` grows.
class TensorChanges {
 public:
  TensorChanges(const CCall& call, const base::Field& field, const tamis_tensor& tensor,
                std::vector<Change>* changes)
      : contract_(call.contract()), field_(field), sound_(tensor), changes_(changes) {}

  void AddAll() {
    const bool required = field_.is_required();
    Add("absent", "not given", required ? Expect::kRefusedByName : Expect::kEither,
        [name = field_.name](CCall* call) { call->Drop(name); });
    Add("twice", "given twice", Expect::kRefusedByName, [name = field_.name](CCall* call) {
      const tamis_named_tensor again = *call->Tensor(name);
      call->tensors.push_back(again);
    });
    AddDTypes();
    AddRanks();
    AddSizes();
    AddStrides();
    AddPlaces();
    if (field_.is_input() && (Is(DType::kInt32) || Is(DType::kInt64))) AddEntries();
  }

 private:
  bool Is(DType dtype) const { return sound_.dtype == static_cast<tamis_dtype>(dtype); }
  bool empty() const { return Extent(sound_) == 0; }
  // What the contract refuses where the tensor has an element, and does not look at where it has
  // none.
  Expect UnlessEmpty() const { return empty() ? Expect::kEither : Expect::kRefusedByName; }

  void Add(const char* kind, std::string what, Expect expect, std::function<void(CCall*)> apply) {
    changes_->push_back({kind, std::move(what), expect, std::move(apply)});
  }

  // The view itself is changed.
  void AddView(const char* kind, std::string what, Expect expect,
               std::function<void(tamis_tensor*)> change) {
    Add(kind, std::move(what), expect, [name = field_.name, change](CCall* call) {
      if (tamis_named_tensor* tensor = call->Tensor(name)) change(&tensor->tensor);
    });
  }

  // A dense tensor of another dtype and shape, with memory, of zeros.
  void AddDense(const char* kind, std::string what, Expect expect, tamis_dtype dtype, int32_t rank,
                std::vector<int64_t> shape) {
    int64_t elems = 1;
    for (int64_t size : shape) elems *= size;
    if (elems > kMostElems) return;
    shape.resize(kMaxRank);
    Add(kind, std::move(what), expect, [=, name = field_.name](CCall* call) {
      tamis_named_tensor* tensor = call->Tensor(name);
      if (tensor == nullptr) return;
      void* const zeros = call->Memory(static_cast<size_t>(std::max<int64_t>(elems, 1)) * 8, 0);
      tensor->tensor = tamis_dense_tensor(zeros, dtype, rank, shape.data());
    });
  }

  std::vector<int64_t> Shape() const { return {sound_.shape, sound_.shape + sound_.rank}; }

  // Outputs have one dtype each, tensors that follow another's too.
  bool MayHave(tamis_dtype dtype) const {
    if (!field_.is_input()) return false;
    if (!field_.dtype_as.empty()) return false;
    return std::any_of(field_.dtypes.begin(), field_.dtypes.end(),
                       [&](DType d) { return static_cast<tamis_dtype>(d) == dtype; });
  }

  void AddDTypes() {
    for (tamis_dtype dtype = TAMIS_FLOAT16; dtype <= TAMIS_BOOL; ++dtype) {
      if (dtype == sound_.dtype) continue;
      AddDense("dtype", "dtype " + std::string(base::Name(static_cast<DType>(dtype))),
               MayHave(dtype) ? Expect::kEither : Expect::kRefusedByName, dtype, sound_.rank,
               Shape());
    }
    for (const tamis_dtype dtype : {-1, 10, 1 << 30}) {
      AddView("dtype", "dtype " + Text(dtype), Expect::kRefusedByName,
              [=](tamis_tensor* t) { t->dtype = dtype; });
    }
  }

  void AddRanks() {
    for (const int32_t rank : {-1, 9, 1 << 30, std::numeric_limits<int32_t>::min()}) {
      AddView("rank", "rank " + Text(rank), Expect::kRefusedByName,
              [=](tamis_tensor* t) { t->rank = rank; });
    }
    // The rank of one tensor selects the form of all: others are then refused.
    const bool selects = field_.name == contract_.layout_tensor;
    const Expect expect = selects ? Expect::kRefused : Expect::kRefusedByName;
    std::vector<int64_t> shape = Shape();
    shape.push_back(1);
    AddDense("rank", "a dimension more", expect, sound_.dtype, sound_.rank + 1, shape);
    if (sound_.rank == 0) return;
    shape = Shape();
    shape.pop_back();
    AddDense("rank", "a dimension less", expect, sound_.dtype, sound_.rank - 1, shape);
  }

  void AddSizes() {
    // Of an output every size is known; of an input other arguments say which is right.
    const bool known = !field_.is_input();
    for (int i = 0; i < sound_.rank; ++i) {
      const auto with = [&](int64_t size) {
        std::vector<int64_t> shape = Shape();
        shape[static_cast<size_t>(i)] = size;
        return shape;
      };
      const std::string name = "size " + Text(i) + " of " + Text(sound_.rank) + " is ";
      const int64_t size = sound_.shape[i];
      for (const int64_t other : {size + 1, size - 1, int64_t{0}, 2 * size}) {
        if (other < 0 || other == size) continue;
        AddDense("size", name + Text(other), known ? Expect::kRefusedByName : Expect::kEither,
                 sound_.dtype, sound_.rank, with(other));
      }
      for (const int64_t other : {int64_t{-1}, kMin}) {
        AddView("size", name + Text(other), Expect::kRefusedByName,
                [=](tamis_tensor* t) { t->shape[i] = other; });
      }
      AddHuge(i, name);
    }
  }

  // Sizes whose product leaves int64, and sizes that no element stands behind.
  void AddHuge(int i, const std::string& name) {
    const tamis_dtype dtype = sound_.dtype;
    const int32_t rank = sound_.rank;
    std::vector<int64_t> shape(kMaxRank, 1);
    shape[static_cast<size_t>(i)] = kMax;
    shape[static_cast<size_t>((i + 1) % std::max(rank, 1))] = rank > 1 ? 4 : kMax;
    const bool overflows = rank > 1 || base::ItemSize(static_cast<DType>(dtype)) > 1;
    if (overflows) {
      AddView("overflow", name + "2^63 - 1", Expect::kRefusedByName, [=](tamis_tensor* t) {
        *t = tamis_dense_tensor(t->data, dtype, rank, shape.data());
      });
    }
    for (int j = 0; j < rank; ++j) {
      if (j == i) continue;
      for (const int64_t size : {int64_t{1} << 31, int64_t{1} << 40, int64_t{1} << 62, kMax}) {
        std::vector<int64_t> none = Shape();
        none.resize(kMaxRank);
        none[static_cast<size_t>(i)] = size;
        none[static_cast<size_t>(j)] = 0;
        AddView("overflow", name + Text(size) + ", size " + Text(j) + " 0",
                field_.is_input() ? Expect::kEither : Expect::kRefusedByName, [=](tamis_tensor* t) {
                  *t = tamis_dense_tensor(t->data, dtype, rank, none.data());
                });
      }
    }
  }

  void AddStrides() {
    const bool output = field_.is_output();
    for (int i = 0; i < sound_.rank; ++i) {
      const bool read = sound_.shape[i] > 1 && !empty();
      const std::string name = "stride " + Text(i) + " of " + Text(sound_.rank) + " is ";
      const auto add = [&](int64_t stride, Expect expect) {
        AddView("stride", name + Text(stride), expect,
                [=](tamis_tensor* t) { t->strides[i] = stride; });
      };
      const Expect unless_unread = read ? Expect::kRefusedByName : Expect::kEither;
      for (const int64_t stride : {int64_t{-1}, kMin, kMax, kMax / 2, int64_t{1} << 56})
        add(stride, unless_unread);
      add(0, read && (output || i + 1 == sound_.rank) ? Expect::kRefusedByName : Expect::kEither);
      if (i + 1 == sound_.rank) add(2, unless_unread);
    }
  }

  void AddPlaces() {
    AddView("null", "no data", empty() ? Expect::kEither : Expect::kRefusedByName,
            [](tamis_tensor* t) { t->data = nullptr; });
    if (base::ItemSize(static_cast<DType>(sound_.dtype)) > 1) {
      AddView("alignment", "data at an odd address", UnlessEmpty(),
              [](tamis_tensor* t) { t->data = static_cast<char*>(t->data) + 1; });
    }
    AddView("alignment", "data at the end of the address space", UnlessEmpty(),
            [](tamis_tensor* t) {
              // NOLINTNEXTLINE(performance-no-int-to-ptr): a place where no memory is
              t->data = reinterpret_cast<void*>(~uintptr_t{63});
              t->strides[0] = std::max<int64_t>(t->strides[0], 64);
              t->shape[0] = std::max<int64_t>(t->shape[0], 64);
            });
    for (const int32_t device : {1, 2, -1}) {
      AddView("device", "device " + Text(device), Expect::kRefusedByName,
              [=](tamis_tensor* t) { t->device = device; });
    }
    if (field_.is_output()) AddOverlaps();
  }

  void AddOverlaps() {
    for (const base::Field& other : contract_.fields) {
      if (!other.is_tensor() || other.name == field_.name || empty()) continue;
      Add("overlap", "on " + other.name, Expect::kEither,
          [name = field_.name, from = other.name](CCall* call) {
            const tamis_named_tensor* tensor = call->Tensor(from);
            tamis_named_tensor* own = call->Tensor(name);
            if (tensor == nullptr || own == nullptr || Extent(tensor->tensor) == 0) return;
            own->tensor.data = tensor->tensor.data;
          });
    }
  }

  // Lengths, page entries, slots and ids: the same tensor with one other number.
  void AddEntries() {
    const int64_t elems = Extent(sound_);
    std::vector<int64_t> places;
    for (const int64_t at : {int64_t{0}, int64_t{1}, elems / 2, elems - 1}) {
      if (at >= 0 && at < elems && std::find(places.begin(), places.end(), at) == places.end())
        places.push_back(at);
    }
    constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
    std::vector<int64_t> numbers = {-1, 0, 1, 1000, kInt32Max, -kInt32Max - 1};
    if (Is(DType::kInt64)) numbers.insert(numbers.end(), {kInt32Max + 1, kMax, kMin, kMax / 2});
    for (const int64_t place : places) {
      for (const int64_t number : numbers) {
        Add("entry", "element " + Text(place) + " is " + Text(number), Expect::kEither,
            [=, name = field_.name, this_extent = elems](CCall* call) {
              tamis_named_tensor* tensor = call->Tensor(name);
              if (tensor == nullptr || Extent(tensor->tensor) != this_extent) return;
              tamis_tensor& t = tensor->tensor;
              const auto size = static_cast<size_t>(base::ItemSize(static_cast<DType>(t.dtype)));
              void* const copy = call->Memory(static_cast<size_t>(this_extent) * size, 0);
              std::memcpy(copy, t.data, static_cast<size_t>(this_extent) * size);
              std::memcpy(static_cast<char*>(copy) + static_cast<size_t>(place) * size, &number,
                          size);
              t.data = copy;
            });
      }
    }
  }

  const base::Contract& contract_;
  const base::Field& field_;
  const tamis_tensor sound_;
  std::vector<Change>* changes_;
};

// The attribute of a call; where it is not given, it has its default.
tamis_named_attribute* AttributeIn(CCall* call, const tamis_named_attribute& sound) {
  if (tamis_named_attribute* given = call->AttributeOf(sound.name)) return given;
  call->attributes.push_back(sound);
  return &call->attributes.back();
}

// Makes the changes of one attribute; `changes` grows.
class AttributeChanges {
 public:
  AttributeChanges(const base::Field& field, const tamis_named_attribute& sound,
                   std::vector<Change>* changes)
      : field_(field), sound_(sound), changes_(changes) {}

  void AddAll() {
    changes_->push_back({"absent", "not given",
                         field_.required ? Expect::kRefusedByName : Expect::kEither,
                         [name = field_.name](CCall* call) { call->Drop(name); }});
    changes_->push_back(
        {"twice", "given twice", Expect::kRefusedByName, [sound = sound_](CCall* call) {
           const tamis_named_attribute again = *AttributeIn(call, sound);
           call->attributes.push_back(again);
         }});
    AddTypes();
    switch (field_.type) {
      case base::Type::kInt: AddNumbers(); break;
      case base::Type::kFloat: AddFloats(); break;
      case base::Type::kInts: AddLists(); break;
      case base::Type::kChoice: AddChoices(); break;
      default: AddFlags(); break;
    }
  }

 private:
  using Set = std::function<void(CCall*, tamis_named_attribute*)>;

  void Add(const char* kind, std::string what, Expect expect, Set set) {
    changes_->push_back(
        {kind, std::move(what), expect, [set = std::move(set), sound = sound_](CCall* call) {
           set(call, AttributeIn(call, sound));
         }});
  }

  void AddTypes() {
    for (int32_t type = 0; type <= 6; ++type) {
      const bool number = sound_.type == TAMIS_ATTRIBUTE_FLOAT && type == TAMIS_ATTRIBUTE_INT;
      if (type == sound_.type || number || type == TAMIS_ATTRIBUTE_STRING) continue;
      Add("type", "of type " + Text(type), Expect::kRefusedByName,
          [=](CCall*, tamis_named_attribute* a) {
            static const int64_t kOne = 1;
            a->type = type;
            a->value = {};
            if (type == TAMIS_ATTRIBUTE_INTS) a->value.as_ints = {&kOne, 1};
          });
    }
  }

  void AddNumbers() {
    const int64_t sound = sound_.value.as_int;
    for (const int64_t number :
         {int64_t{0}, int64_t{-1}, sound + 1, sound - 1, 2 * sound, int64_t{1} << 31,
          (int64_t{1} << 32) + 1, int64_t{1} << 40, int64_t{1} << 62, kMax, kMin}) {
      if (number == sound) continue;
      Add("number", "is " + Text(number), Expect::kEither, [=](CCall*, tamis_named_attribute* a) {
        a->type = TAMIS_ATTRIBUTE_INT;
        a->value.as_int = number;
      });
    }
  }

  void AddFlags() {
    for (const int64_t flag : {int64_t{2}, int64_t{-1}, kMax, int64_t{0}, int64_t{1}}) {
      Add("number", "is " + Text(flag),
          flag == 0 || flag == 1 ? Expect::kEither : Expect::kRefusedByName,
          [=](CCall*, tamis_named_attribute* a) { a->value.as_int = flag; });
    }
  }

  void AddFloats() {
    const auto add = [&](double number, Expect expect) {
      Add("number", "is " + std::to_string(number), expect, [=](CCall*, tamis_named_attribute* a) {
        a->type = TAMIS_ATTRIBUTE_FLOAT;
        a->value.as_float = number;
      });
    };
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    for (const double number : {kNan, kInfinity, -kInfinity, 1e300, -1e300, 3.5e38})
      add(number, Expect::kRefusedByName);
    add(-1.0, Expect::kEither);
    // Where nothing varies, an epsilon of 0 divides 0 by 0, and there is no value to compare.
    if (field_.name.rfind("epsilon", 0) == 0) return;
    for (const double number : {0.0, -0.0, 1e-300}) add(number, Expect::kEither);
  }

  void AddLists() {
    const auto add_raw = [&](std::string what, Expect expect, tamis_int_list list) {
      Add("list", std::move(what), expect,
          [=](CCall*, tamis_named_attribute* a) { a->value.as_ints = list; });
    };
    const auto add = [&](std::string what, Expect expect, std::vector<int64_t> values) {
      Add("list", std::move(what), expect,
          [=](CCall* call, tamis_named_attribute* a) { a->value.as_ints = call->List(values); });
    };
    static const int64_t kOne = 1;
    add_raw("no data of 1", Expect::kRefusedByName, {nullptr, 1});
    add_raw("no data of 2^63 - 1", Expect::kRefusedByName, {nullptr, kMax});
    add_raw("of size -1", Expect::kRefusedByName, {&kOne, -1});
    add_raw("of size -2^63", Expect::kRefusedByName, {nullptr, kMin});
    add_raw("neither data nor size", field_.required ? Expect::kRefusedByName : Expect::kEither,
            {nullptr, 0});
    add("empty", Expect::kEither, {});
    const tamis_int_list& sound = sound_.value.as_ints;
    const std::vector<int64_t> list(sound.data, sound.data + sound.size);
    std::vector<int64_t> other = list;
    other.push_back(list.empty() ? 1 : list.back());
    add("an entry more", Expect::kEither, other);
    if (list.empty()) return;
    other = {list.begin(), list.end() - 1};
    add("an entry less", Expect::kEither, other);
    other = {list.rbegin(), list.rend()};
    add("backwards", Expect::kEither, other);
    // "accepted and not used, as on the device"
    const bool used = field_.doc.find("not used") == std::string::npos;
    for (size_t i = 0; i < list.size(); ++i) {
      for (const int64_t number : {int64_t{-1}, list[i] + 1, list[i] - 1, int64_t{0}, kMax, kMin,
                                   kMax / 2, int64_t{1} << 31}) {
        other = list;
        other[i] = number;
        add("entry " + Text(static_cast<int64_t>(i)) + " is " + Text(number),
            number < 0 && used ? Expect::kRefusedByName : Expect::kEither, other);
      }
    }
  }

  void AddChoices() {
    const auto add = [&](const std::string& text, Expect expect) {
      Add("choice", "is '" + text.substr(0, 20) + "'", expect,
          [=](CCall* call, tamis_named_attribute* a) { a->value.as_string = call->Text(text); });
    };
    for (const std::string& text : {std::string(), std::string("x"), field_.choices[0] + " ",
                                    std::string(5000, 'y'), std::string("line\nbreak")})
      add(text, Expect::kRefusedByName);
    for (const std::string& text : field_.choices) add(text, Expect::kEither);
    Add("choice", "no text", Expect::kRefusedByName,
        [](CCall*, tamis_named_attribute* a) { a->value.as_string = nullptr; });
  }

  const base::Field& field_;
  const tamis_named_attribute sound_;
  std::vector<Change>* changes_;
};

// The attribute as it is given, or as its default is. False: it is not given, and has no default
// that can be changed.
bool SoundAttribute(const CCall& call, const base::Field& field, tamis_named_attribute* sound) {
  for (const tamis_named_attribute& given : call.attributes) {
    if (given.name != field.name) continue;
    *sound = given;
    return true;
  }
  if (field.type != base::Type::kInt && field.type != base::Type::kBool) return false;
  *sound = {};
  sound->name = field.name.c_str();
  sound->type = field.type == base::Type::kInt ? TAMIS_ATTRIBUTE_INT : TAMIS_ATTRIBUTE_BOOL;
  const void* defaults = call.contract().default_params.get();
  sound->value.as_int = field.type == base::Type::kInt
                            ? base::Contract::At<const int64_t>(defaults, field)
                            : base::Contract::At<const bool>(defaults, field);
  return true;
}

}  // namespace

std::vector<Change> HostileChanges(const CCall& call, const base::Field& field) {
  std::vector<Change> changes;
  if (field.is_tensor()) {
    for (const tamis_named_tensor& t : call.tensors) {
      if (t.name == field.name) TensorChanges(call, field, t.tensor, &changes).AddAll();
    }
  } else if (tamis_named_attribute sound; SoundAttribute(call, field, &sound)) {
    AttributeChanges(field, sound, &changes).AddAll();
  }
  return changes;
}

Verdict JudgeChange(CCall* call, const base::Field& field, const Change& change,
                    const Manner& manner) {
  change.apply(call);
  Verdict verdict = Judge(call, manner);
  const bool refused = verdict.outcome == Verdict::Outcome::kRefused;
  if (!verdict.failure.empty()) return verdict;
  if (refused && change.expect == Expect::kRefusedByName && ArgumentOf(verdict.line) != field.name)
    verdict.failure = "refused for another argument: " + verdict.line;
  if (!refused && change.expect != Expect::kEither) verdict.failure = "accepted";
  const base::Field* named = call->contract().Find(ArgumentOf(verdict.line));
  const bool for_its_output =
      refused && named != nullptr && named != &field && named->is_output() && !field.is_output();
  if (!for_its_output || change.expect != Expect::kEither) return verdict;
  // The inputs may be sound and the outputs no longer theirs.
  if (call->LayOutputs() != TAMIS_OK) return verdict;
  return Judge(call, manner);
}

}  // namespace tamis::test
