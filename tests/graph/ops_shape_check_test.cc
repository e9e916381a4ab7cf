// The type patterns that op docs begin with: what they accept, bind and say.
#include <gtest/gtest.h>

#include <functional>

#include "graph/ops/shape_check.h"
#include "tests/support/eval.h"

namespace sluice {
namespace {

// An op that has nothing but docs, and one call of it.
class Call {
 public:
  Call(std::vector<std::string> operand_docs, std::vector<std::string> types, Attributes attrs = {})
      : attrs_(std::move(attrs)) {
    op_.name = op_.family = op_.doc = "test";
    op_.results = {{"out", "some tensor"}};
    op_.infer = InferFromDocs;
    op_.eval = [](const EvalContext&) { return absl::OkStatus(); };
    for (size_t i = 0; i < operand_docs.size(); ++i) {
      op_.operands.push_back({std::string(1, static_cast<char>('p' + i)), operand_docs[i]});
    }
    op_.attrs = {{"n", AttrKind::kInt, "a number", int64_t{4}, {}}};
    types_.reserve(types.size());
    for (const std::string& type : types) {
      types_.push_back(type == "_" ? TensorType{} : TypeFromText(type));
      pointers_.push_back(type == "_" ? nullptr : &types_.back());
    }
  }

  // "ok", or the message.
  std::string Match() const {
    return WithOp([this](const OpDef& op) {
      return Text(MatchOperands({op, pointers_, attrs_}).status());
    });
  }
  // The type of one result, or the message.
  std::string Infer(std::string result_doc, int aliases = -1) {
    op_.results = {{"out", std::move(result_doc), aliases}};
    return WithOp([this](const OpDef& op) {
      const auto types = InferFromDocs({op, pointers_, attrs_});
      return types.ok() ? types->at(0).ToString() : Text(types.status());
    });
  }
  // Whether the op can be registered if the first operand's elements are below this.
  std::string IndicesBelow(std::string limit) {
    op_.operands.front().below = std::move(limit);
    return WithOp([](const OpDef&) { return "ok"; });
  }

 private:
  // Docs are read when an op is registered.
  std::string WithOp(const std::function<std::string(const OpDef&)>& use) const {
    OpRegistry registry;
    const absl::Status status = registry.Register(op_);
    return status.ok() ? use(*registry.Find("test")) : Text(status);
  }
  static std::string Text(const absl::Status& status) {
    return status.ok() ? "ok" : std::string(status.message());
  }

  OpDef op_;
  Attributes attrs_;
  std::vector<TensorType> types_;
  std::vector<const TensorType*> pointers_;
};

TEST(TypePattern, DTypes) {
  EXPECT_EQ(Call({"f32|f16[d]"}, {"f16[3]"}).Match(), "ok");
  EXPECT_EQ(Call({"f32|f16[d]"}, {"bf16[3]"}).Match(), "'test': p is bf16[3], expected f32|f16[d]");
  EXPECT_EQ(Call({"any[d], a weight"}, {"q6_k[256]"}).Match(), "ok");
  EXPECT_EQ(Call({"any[d], a weight"}, {"i32[3]"}).Match(),
            "'test': p is i32[3], expected any[d] of a dtype that can be decoded");
}

TEST(TypePattern, StatesAreNotTensors) {
  EXPECT_EQ(Call({"state<f32[d]>"}, {"state<f32[3]>"}).Match(), "ok");
  EXPECT_EQ(Call({"state<f32[d]>, a cache"}, {"f32[3]"}).Match(),
            "'test': p is f32[3], expected state<f32[d]>");
  EXPECT_EQ(Call({"f32[d]"}, {"state<f32[3]>"}).Match(),
            "'test': p is state<f32[3]>, expected f32[d]");
}

TEST(TypePattern, RanksAndNumbers) {
  EXPECT_EQ(Call({"f32[]"}, {"f32[]"}).Match(), "ok");
  EXPECT_EQ(Call({"f32[]"}, {"f32[1]"}).Match(), "'test': p is f32[1], expected f32[]");
  EXPECT_EQ(Call({"f32[d,2]"}, {"f32[7,2]"}).Match(), "ok");
  EXPECT_EQ(Call({"f32[d,2]"}, {"f32[7,3]"}).Match(), "'test': p is f32[7,3], expected f32[d,2]");
}

TEST(TypePattern, NamesStandForOneDimension) {
  EXPECT_EQ(Call({"f32[d,d]"}, {"f32[t,t]"}).Match(), "ok");
  EXPECT_EQ(Call({"f32[d]", "f32[d]"}, {"f32[t]", "f32[t*2]"}).Match(),
            "'test': q is f32[t*2], expected f32[d] where d=t (from p)");
  EXPECT_EQ(Call({"f32[n]"}, {"f32[5]"}).Match(),
            "'test': p is f32[5], expected f32[n] where n=4 (from the attribute)");
  EXPECT_EQ(Call({"f32[n]"}, {"f32[5]"}, {{"n", int64_t{5}}}).Match(), "ok");
}

TEST(TypePattern, LeadingDimensions) {
  EXPECT_EQ(Call({"f32[...,d]"}, {"f32[3]"}).Infer("f32[...,2]"), "f32[2]");
  EXPECT_EQ(Call({"f32[...,d]"}, {"f32[t,5,3]"}).Infer("i32[...]"), "i32[t,5]");
  EXPECT_EQ(Call({"f32[...,d]", "f32[...]"}, {"f32[t,5,3]", "f32[t,5]"}).Match(), "ok");
  EXPECT_EQ(Call({"f32[...,d]", "f32[...]"}, {"f32[t,5,3]", "f32[t]"}).Match(),
            "'test': q is f32[t], expected f32[...] where ... = t,5 (from p)");
  EXPECT_EQ(Call({"f32[...]", "f32[...]"}, {"f32[]", "f32[2]"}).Match(),
            "'test': q is f32[2], expected f32[...] where ... = nothing (from p)");
  EXPECT_EQ(Call({"f32[...,d]", "f32[*,d]"}, {"f32[t,5,3]", "f32[7,3]"}).Infer("f32[...]"),
            "f32[t,5]");
}

TEST(TypePattern, ComputedDimensions) {
  // Products and quotients keep symbols; the names may be bound by a later operand.
  EXPECT_EQ(Call({"f32[t*k]", "f32[t,k]"}, {"f32[s*6]", "f32[s*2,3]"}).Match(), "ok");
  EXPECT_EQ(Call({"f32[d]", "f32[d/2]"}, {"f32[s*6]", "f32[s*3]"}).Match(), "ok");
  EXPECT_EQ(Call({"f32[d]", "f32[d/2]"}, {"f32[7]", "f32[3]"}).Match(),
            "'test': q is f32[3], expected f32[d/2], but dimension 7 is not a multiple of 2");
  EXPECT_EQ(Call({"f32[d]", "f32[d+1]"}, {"f32[7]", "f32[7]"}).Match(),
            "'test': q is f32[7], expected f32[d+1] where d+1=8");
  EXPECT_EQ(Call({"f32[d]"}, {"f32[t]"}).Infer("f32[d+1]"),
            "'test': result out is f32[d+1], but dimension d is t, expected a constant");
  EXPECT_EQ(Call({"f32[d]"}, {"f32[9223372036854775807]"}).Infer("f32[d+1]"),
            "'test': result out is f32[d+1], but dimension d is too large");
}

TEST(TypePattern, BadOnesAreRefusedAtRegistration) {
  EXPECT_EQ(Call({"f32[d+]"}, {"f32[3]"}).Match(),
            "op 'test': p: \"\" is neither the name of a dimension nor a number");
  EXPECT_EQ(Call({"f23[d]"}, {"f32[3]"}).Match(),
            "op 'test': p: the doc \"f23[d]\" has an unknown dtype, \"f23\"");
  EXPECT_EQ(Call({"i32[d]", "f32[v]"}, {"i32[3]", "f32[3]"}).IndicesBelow("v*n"), "ok");
  EXPECT_EQ(Call({"i32[d]"}, {"i32[3]"}).IndicesBelow("v"), "op 'test': p: nothing binds v");
}

TEST(TypePattern, OperandsLeftOutBindNothing) {
  EXPECT_EQ(Call({"f32[d]", "f32[d]"}, {"_", "f32[3]"}).Match(), "ok");
  EXPECT_EQ(Call({"f32[d]", "f32[d]"}, {"f32[3]"}).Match(), "ok");
}

TEST(TypePattern, AnAliasedResultHasItsOperandsType) {
  EXPECT_EQ(Call({"state<f32|f16[d]>"}, {"state<f16[8]>"}).Infer("state<f32|f16[d]>", 0),
            "state<f16[8]>");
}

TEST(TypePattern, DocsThatAreNoPatternsAreReported) {
  EXPECT_EQ(Call({"a number"}, {"f32[3]"}).Match(),
            "the doc \"a number\" starts with no type pattern");
  EXPECT_EQ(Call({"f32[d]"}, {"f32[3]"}).Infer("f32|f16[d]"),
            "'test': result out has no single dtype: f32|f16[d]");
  EXPECT_EQ(Call({"f32[d]"}, {"f32[3]"}).Infer("f32[e]"),
            "'test': result out is f32[e], but no operand binds e");
}

}  // namespace
}  // namespace sluice
