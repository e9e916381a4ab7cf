#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "graph/error_list.h"
#include "graph/load_common.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "graph/text_lexer.h"
#include "graph/verifier.h"

namespace sluice {
namespace {

bool IsNumber(absl::string_view word) { return !absl::ascii_isalpha(word[0]) && word[0] != '_'; }

// Recursive descent with one token of look-ahead; nothing in the grammar nests without bound.
//
// After an error it goes on with the next line. What a wrong line defines is missing from then on:
// lines that use it are checked only as far as that does not matter, and what they define is
// missing, too.
class Parser {
 public:
  Parser(absl::string_view text, absl::string_view source, const OpRegistry* registry)
      : lexer_(text), source_(source), graph_("", registry) {}

  absl::StatusOr<Graph> Run() &&;

 private:
  // Lines.
  void ParseLineOrSkipIt();
  absl::Status ParseLine();
  absl::Status EndLine();
  absl::Status ParseGraphLine();
  absl::Status ParseSymbol();
  absl::Status ParseSource(absl::string_view keyword);
  absl::Status ParseNode();
  absl::Status ParseOutput();
  absl::Status CheckWithoutOperands(NodeSpec spec);
  absl::Status Verified() const;

  // Parts of lines.
  absl::StatusOr<std::vector<std::string>> ParseResultNames();
  absl::StatusOr<std::vector<Value*>> ParseOperands();
  absl::StatusOr<Attributes> ParseAttributes();
  absl::StatusOr<AttrValue> ParseAttrValue();
  absl::StatusOr<std::vector<TensorType>> ParseTypes();
  absl::StatusOr<TensorType> ParseType();
  absl::StatusOr<Shape> ParseShape();
  absl::StatusOr<Dim> ParseDim();
  absl::Status ParseAnnotations(Node* node);
  absl::Status ParseMem(absl::Span<Value* const> values);
  absl::Status ParseLayer(Node* node);
  absl::Status ParseScratch(Node* node);
  absl::StatusOr<std::string> ParseLabelInParentheses();
  absl::StatusOr<std::optional<MemSpan>> ParseSpan();
  absl::StatusOr<Value*> ParseDefinedValue();
  absl::StatusOr<std::string> ParseName(char sigil, absl::string_view what);
  absl::StatusOr<std::string> ParseLabel(absl::string_view what);
  absl::StatusOr<int64_t> ParseInteger(absl::string_view what);

  // Tokens.
  Token Take() { return std::exchange(token_, lexer_.Next()); }
  bool Is(TokenKind kind, absl::string_view text) const {
    return token_.kind == kind && token_.text == text;
  }
  bool IsMark(absl::string_view mark) const { return Is(TokenKind::kMark, mark); }
  bool Consume(absl::string_view mark) {
    const bool found = IsMark(mark);
    if (found) Take();
    return found;
  }
  absl::Status Expect(absl::string_view mark);
  absl::StatusOr<Token> ExpectWord(absl::string_view what);

  // Errors.
  std::string PlaceOf(const Token& token) const {
    return absl::StrCat(source_, ":", token.line, ":", token.column, ": ");
  }
  absl::Status ErrorAt(const Token& token, absl::string_view what) const;
  absl::Status Expected(absl::string_view what) const {
    return ErrorAt(token_, absl::StrCat("expected ", what, ", got ", Describe(token_)));
  }
  // `status` with the place of `token`; OK stays OK.
  absl::Status At(const Token& token, const absl::Status& status) const {
    return status.ok() ? status : ErrorAt(token, status.message());
  }

  Lexer lexer_;
  std::string source_;
  Graph graph_;
  Token token_;                                       // the next one
  absl::flat_hash_map<const Value*, Token> defined_;  // where each value is
  ErrorList errors_;
  // What is told to be undeclared, or is defined by a line that is wrong or uses what is missing:
  // references of values, names of symbols.
  absl::flat_hash_set<absl::string_view> missing_;
  // Of the current line.
  std::vector<absl::string_view> line_defines_;
  bool uses_missing_ = false;
};

absl::Status Parser::ErrorAt(const Token& token, absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(PlaceOf(token), what));
}

absl::Status Parser::Expect(absl::string_view mark) {
  return Consume(mark) ? absl::OkStatus() : Expected(absl::StrCat("'", mark, "'"));
}

absl::StatusOr<Token> Parser::ExpectWord(absl::string_view what) {
  if (token_.kind != TokenKind::kWord) return Expected(what);
  return Take();
}

absl::StatusOr<std::string> Parser::ParseName(char sigil, absl::string_view what) {
  if (token_.kind != TokenKind::kRef || token_.text[0] != sigil) return Expected(what);
  line_defines_.push_back(token_.text);
  return std::string(Take().text.substr(1));
}

absl::StatusOr<std::string> Parser::ParseLabel(absl::string_view what) {
  if (token_.kind == TokenKind::kWord && !IsNumber(token_.text)) return std::string(Take().text);
  if (token_.kind != TokenKind::kString) return Expected(what);
  const Token token = Take();
  std::string text, error;
  if (!absl::CUnescape(token.text.substr(1, token.text.size() - 2), &text, &error)) {
    return ErrorAt(token, absl::StrCat("bad escape in a string: ", error));
  }
  return text;
}

absl::StatusOr<int64_t> Parser::ParseInteger(absl::string_view what) {
  SLUICE_ASSIGN_OR_RETURN(const Token token, ExpectWord(what));
  absl::string_view digits = token.text;
  const int base = absl::ConsumePrefix(&digits, "0x") ? 16 : 10;
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, base);
  if (error == std::errc::result_out_of_range) {
    return ErrorAt(token, absl::StrCat(Describe(token), " does not fit into 64 bits"));
  }
  if (error != std::errc() || stop != end) {
    return ErrorAt(token, absl::StrCat("expected ", what, ", got ", Describe(token)));
  }
  return value;
}

absl::StatusOr<Dim> Parser::ParseDim() {
  if (token_.kind == TokenKind::kWord && IsNumber(token_.text)) return ParseInteger("a dimension");
  SLUICE_ASSIGN_OR_RETURN(const Token symbol, ExpectWord("a dimension"));
  const auto symbols = graph_.symbols();
  if (std::none_of(symbols.begin(), symbols.end(),
                   [&](const SymbolDef& known) { return known.name == symbol.text; })) {
    uses_missing_ = true;
    if (missing_.insert(symbol.text).second) {
      return ErrorAt(symbol, absl::StrCat("unknown symbol ", Describe(symbol),
                                          ", expected one that a line above declares",
                                          DidYouMean(symbol.text, NamesOf(symbols))));
    }
  }
  int64_t factor = 1;
  if (Consume("*")) {
    SLUICE_ASSIGN_OR_RETURN(factor, ParseInteger("a factor"));
  }
  return Dim::Symbol(symbol.text, factor);
}

absl::StatusOr<Shape> Parser::ParseShape() {
  SLUICE_RETURN_IF_ERROR(Expect("["));
  Shape shape;
  if (Consume("]")) return shape;
  do {
    if (shape.size() == kMaxRank) {
      return Expected(absl::StrCat("']' after ", kMaxRank, " dimensions"));
    }
    SLUICE_ASSIGN_OR_RETURN(Dim dim, ParseDim());
    shape.push_back(std::move(dim));
  } while (Consume(","));
  SLUICE_RETURN_IF_ERROR(Expect("]"));
  return shape;
}

absl::StatusOr<TensorType> Parser::ParseType() {
  TensorType type;
  SLUICE_ASSIGN_OR_RETURN(Token name, ExpectWord("a type"));
  if (name.text == "state") {
    type.is_state = true;
    SLUICE_RETURN_IF_ERROR(Expect("<"));
    SLUICE_ASSIGN_OR_RETURN(name, ExpectWord("a dtype"));
  }
  const absl::StatusOr<DType> dtype = FindDType(name.text);
  SLUICE_RETURN_IF_ERROR(At(name, dtype.status()));
  type.dtype = *dtype;
  SLUICE_ASSIGN_OR_RETURN(type.shape, ParseShape());
  if (type.is_state) SLUICE_RETURN_IF_ERROR(Expect(">"));
  return type;
}

absl::StatusOr<std::vector<TensorType>> Parser::ParseTypes() {
  std::vector<TensorType> types;
  do {
    SLUICE_ASSIGN_OR_RETURN(TensorType type, ParseType());
    types.push_back(std::move(type));
  } while (Consume(","));
  return types;
}

absl::StatusOr<AttrValue> Parser::ParseAttrValue() {
  if (IsMark("[")) return ParseShape();
  const Token token = token_;
  if (token.kind != TokenKind::kWord) return ParseLabel("an attribute value");
  const absl::string_view word = token.text;
  const bool is_float_word = word == "inf" || word == "nan";
  if (!IsNumber(word) && !is_float_word) {
    SLUICE_ASSIGN_OR_RETURN(std::string label, ParseLabel("an attribute value"));
    if (label == "true" || label == "false") return label == "true";
    return label;
  }
  if (word.find_first_not_of("-0123456789") == word.npos) return ParseInteger("an integer");
  Take();
  double value = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  if (error == std::errc::result_out_of_range) {
    return ErrorAt(token, absl::StrCat(Describe(token), " is beyond the range of a float"));
  }
  if (error != std::errc() || stop != end) {
    return ErrorAt(token, absl::StrCat("expected a number, got ", Describe(token)));
  }
  return value;
}

absl::StatusOr<Attributes> Parser::ParseAttributes() {
  Attributes attrs;
  if (!Consume("{")) return attrs;
  do {
    SLUICE_ASSIGN_OR_RETURN(const Token name, ExpectWord("the name of an attribute"));
    SLUICE_RETURN_IF_ERROR(Expect("="));
    SLUICE_ASSIGN_OR_RETURN(AttrValue value, ParseAttrValue());
    SLUICE_RETURN_IF_ERROR(At(name, AddAttribute(name.text, std::move(value), &attrs)));
  } while (Consume(","));
  SLUICE_RETURN_IF_ERROR(Expect("}"));
  return attrs;
}

// nullptr if it is missing.
absl::StatusOr<Value*> Parser::ParseDefinedValue() {
  if (token_.kind != TokenKind::kRef) return Expected("a value (%name or @name)");
  const Token token = Take();
  Value* value = graph_.Find(token.text);
  if (value != nullptr && !missing_.contains(token.text)) return value;
  uses_missing_ = true;
  if (!missing_.insert(token.text).second) return nullptr;
  return ErrorAt(token, absl::StrCat("no line above defines ", Describe(token)));
}

absl::StatusOr<std::vector<Value*>> Parser::ParseOperands() {
  std::vector<Value*> operands;
  SLUICE_RETURN_IF_ERROR(Expect("("));
  if (Consume(")")) return operands;
  do {
    if (Is(TokenKind::kWord, "_")) {
      Take();
      operands.push_back(nullptr);
      continue;
    }
    SLUICE_ASSIGN_OR_RETURN(Value * value, ParseDefinedValue());
    operands.push_back(value);
  } while (Consume(","));
  SLUICE_RETURN_IF_ERROR(Expect(")"));
  return operands;
}

absl::StatusOr<std::optional<MemSpan>> Parser::ParseSpan() {
  const bool may_be_absent = Is(TokenKind::kWord, "_");
  MemSpan span;
  SLUICE_ASSIGN_OR_RETURN(span.region, ParseLabel("a memory region or '_'"));
  if (may_be_absent && !IsMark("+")) return std::nullopt;
  SLUICE_RETURN_IF_ERROR(Expect("+"));
  SLUICE_ASSIGN_OR_RETURN(span.offset, ParseInteger("an offset"));
  SLUICE_RETURN_IF_ERROR(Expect(":"));
  SLUICE_ASSIGN_OR_RETURN(span.bytes, ParseInteger("a number of bytes"));
  return span;
}

// One span for each of `values`.
absl::Status Parser::ParseMem(absl::Span<Value* const> values) {
  Take();
  SLUICE_RETURN_IF_ERROR(Expect("("));
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) SLUICE_RETURN_IF_ERROR(Expect(","));
    SLUICE_ASSIGN_OR_RETURN(std::optional<MemSpan> span, ParseSpan());
    values[i]->set_mem(std::move(span));
  }
  return Expect(")");
}

// In any order, each once at most: what is no annotation, or a second one, ends the list.
absl::Status Parser::ParseAnnotations(Node* node) {
  absl::flat_hash_set<absl::string_view> seen;
  while (token_.kind == TokenKind::kWord && seen.insert(token_.text).second) {
    if (token_.text == "mem") {
      std::vector<Value*> results;
      for (const auto& result : node->results()) results.push_back(result.get());
      SLUICE_RETURN_IF_ERROR(ParseMem(results));
    } else if (token_.text == "scratch") {
      SLUICE_RETURN_IF_ERROR(ParseScratch(node));
    } else if (token_.text == "layer") {
      SLUICE_RETURN_IF_ERROR(ParseLayer(node));
    } else if (token_.text == "device") {
      SLUICE_ASSIGN_OR_RETURN(std::string device, ParseLabelInParentheses());
      node->set_device(std::move(device));
    } else if (token_.text == "kernel") {
      SLUICE_ASSIGN_OR_RETURN(std::string kernel, ParseLabelInParentheses());
      node->set_kernel(std::move(kernel));
    } else if (token_.text == "by") {
      SLUICE_ASSIGN_OR_RETURN(std::string origin, ParseLabelInParentheses());
      node->set_origin(std::move(origin));
    } else if (token_.text == "once") {
      Take();
      node->set_once(true);
    } else {
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status Parser::ParseLayer(Node* node) {
  Take();
  SLUICE_RETURN_IF_ERROR(Expect("("));
  const Token token = token_;
  if (Is(TokenKind::kWord, "_")) {
    Take();
    node->set_layer(-1);
    return Expect(")");
  }
  SLUICE_ASSIGN_OR_RETURN(const int64_t layer, ParseInteger("a layer"));
  if (layer < 0 || layer > std::numeric_limits<int>::max()) {
    return ErrorAt(token, "expected a layer from 0, or _ for none");
  }
  node->set_layer(static_cast<int>(layer));
  return Expect(")");
}

absl::Status Parser::ParseScratch(Node* node) {
  Take();
  SLUICE_RETURN_IF_ERROR(Expect("("));
  SLUICE_ASSIGN_OR_RETURN(std::optional<MemSpan> span, ParseSpan());
  node->set_scratch(std::move(span));
  return Expect(")");
}

// Takes a keyword and "(name)".
absl::StatusOr<std::string> Parser::ParseLabelInParentheses() {
  Take();
  SLUICE_RETURN_IF_ERROR(Expect("("));
  SLUICE_ASSIGN_OR_RETURN(std::string label, ParseLabel("a name"));
  SLUICE_RETURN_IF_ERROR(Expect(")"));
  return label;
}

absl::StatusOr<std::vector<std::string>> Parser::ParseResultNames() {
  std::vector<std::string> names;
  do {
    SLUICE_ASSIGN_OR_RETURN(std::string name, ParseName('%', "the name of a result (%name)"));
    names.push_back(std::move(name));
  } while (Consume(","));
  return names;
}

absl::Status Parser::ParseNode() {
  const Token start = token_;
  NodeSpec spec;
  SLUICE_ASSIGN_OR_RETURN(spec.names, ParseResultNames());
  SLUICE_RETURN_IF_ERROR(Expect("="));
  SLUICE_ASSIGN_OR_RETURN(const Token op, ExpectWord("the name of an op"));
  spec.op = op.text;
  SLUICE_ASSIGN_OR_RETURN(spec.operands, ParseOperands());
  SLUICE_ASSIGN_OR_RETURN(spec.attrs, ParseAttributes());
  SLUICE_RETURN_IF_ERROR(Expect(":"));
  const Token types_start = token_;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<TensorType> types, ParseTypes());

  if (uses_missing_) return At(op, CheckWithoutOperands(std::move(spec)));
  const absl::StatusOr<Node*> node = graph_.Add(std::move(spec));
  SLUICE_RETURN_IF_ERROR(At(op, node.status()));
  SLUICE_RETURN_IF_ERROR(At(types_start, CheckDeclaredTypes(**node, types)));
  defined_[(*node)->result()] = start;
  return ParseAnnotations(*node);
}

// The op and its attributes, whose check does not depend on what the node reads.
absl::Status Parser::CheckWithoutOperands(NodeSpec spec) {
  const OpDef* op = graph_.registry().Find(spec.op);
  if (op == nullptr) return graph_.Add(std::move(spec)).status();  // which says so
  const TensorType any;
  const std::vector<const TensorType*> types(op->operands.size(), &any);
  TakeWholeNumbersAsFloats(*op, &spec.attrs);
  const absl::Status status = CheckSchema({*op, types, spec.attrs});
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("%", spec.names[0], ": ", status.message()));
}

absl::Status Parser::ParseSource(absl::string_view keyword) {
  const bool is_weight = keyword == "weight";
  const Token start = token_;
  SLUICE_ASSIGN_OR_RETURN(
      const std::string name,
      ParseName(is_weight ? '@' : '%',
                absl::StrCat("the name of the ", keyword, is_weight ? " (@name)" : " (%name)")));
  SLUICE_RETURN_IF_ERROR(Expect(":"));
  SLUICE_ASSIGN_OR_RETURN(TensorType type, ParseType());
  if (uses_missing_) return absl::OkStatus();
  const absl::StatusOr<Value*> value = is_weight            ? graph_.AddWeight(name, type)
                                       : keyword == "state" ? graph_.AddState(name, type)
                                                            : graph_.AddInput(name, type);
  SLUICE_RETURN_IF_ERROR(At(start, value.status()));
  defined_[*value] = start;
  if (is_weight && Is(TokenKind::kWord, "layout")) {
    SLUICE_ASSIGN_OR_RETURN(std::string layout, ParseLabelInParentheses());
    (*value)->set_layout(std::move(layout));
  }
  return Is(TokenKind::kWord, "mem") ? ParseMem({&*value, 1}) : absl::OkStatus();
}

absl::Status Parser::ParseSymbol() {
  SLUICE_ASSIGN_OR_RETURN(const Token name, ExpectWord("the name of a symbol"));
  line_defines_.push_back(name.text);
  SLUICE_RETURN_IF_ERROR(Expect("<="));
  SLUICE_ASSIGN_OR_RETURN(const int64_t bound, ParseInteger("an upper bound"));
  return At(name, graph_.AddSymbol(name.text, bound));
}

absl::Status Parser::ParseOutput() {
  const Token start = token_;
  SLUICE_ASSIGN_OR_RETURN(Value * value, ParseDefinedValue());
  return value == nullptr ? absl::OkStatus() : At(start, graph_.AddOutput(value));
}

absl::Status Parser::ParseGraphLine() {
  if (!Is(TokenKind::kWord, "graph")) return Expected("'graph' and a name on the first line");
  Take();
  SLUICE_ASSIGN_OR_RETURN(std::string name, ParseLabel("the name of the graph"));
  graph_ = Graph(std::move(name), &graph_.registry());
  SLUICE_ASSIGN_OR_RETURN(const Attributes attrs, ParseAttributes());
  for (const auto& [attr, value] : attrs) graph_.SetAttr(attr, value);
  return absl::OkStatus();
}

absl::Status Parser::ParseLine() {
  if (token_.kind == TokenKind::kRef) return ParseNode();
  constexpr absl::string_view kWhat =
      "a line that begins with symbol, input, weight, state, output or %name";
  if (token_.kind != TokenKind::kWord) return Expected(kWhat);
  const absl::string_view keyword = token_.text;
  const bool is_source = keyword == "input" || keyword == "weight" || keyword == "state";
  if (!is_source && keyword != "symbol" && keyword != "output") {
    const absl::Status status = Expected(kWhat);
    return absl::InvalidArgumentError(absl::StrCat(
        status.message(), DidYouMean(keyword, {"symbol", "input", "weight", "state", "output"})));
  }
  Take();
  if (keyword == "symbol") return ParseSymbol();
  if (keyword == "output") return ParseOutput();
  return ParseSource(keyword);
}

absl::Status Parser::EndLine() {
  if (token_.kind != TokenKind::kNewline) return Expected("the end of the line");
  Take();
  return absl::OkStatus();
}

void Parser::ParseLineOrSkipIt() {
  line_defines_.clear();
  uses_missing_ = false;
  absl::Status status = ParseLine();
  const bool is_whole = status.ok() && !uses_missing_;
  for (const absl::string_view name : line_defines_) {
    if (is_whole) {
      missing_.erase(name);
    } else {
      missing_.insert(name);
    }
  }
  if (is_whole) status = EndLine();
  if (!status.ok()) errors_.Add(status.message());
  if (is_whole && status.ok()) return;
  while (token_.kind != TokenKind::kNewline && token_.kind != TokenKind::kEnd) {
    // Where the text is no tokens, the lines after it are not to be trusted.
    token_ = token_.kind == TokenKind::kInvalid ? Token() : lexer_.Next();
  }
  if (token_.kind == TokenKind::kNewline) Take();
}

absl::Status Parser::Verified() const {
  const Violations violations = FindViolations(graph_);
  ErrorList errors;
  for (const Violation& violation : violations.shown) {
    const auto place = defined_.find(violation.value);
    errors.Add(absl::StrCat(place != defined_.end() ? PlaceOf(place->second) : source_ + ": ",
                            violation.message));
  }
  errors.Count(violations.more);
  return errors.ToStatus();
}

absl::StatusOr<Graph> Parser::Run() && {
  Take();
  SLUICE_RETURN_IF_ERROR(ParseGraphLine());
  SLUICE_RETURN_IF_ERROR(EndLine());
  while (token_.kind != TokenKind::kEnd && !errors_.is_cut_off()) ParseLineOrSkipIt();
  SLUICE_RETURN_IF_ERROR(errors_.ToStatus());
  SLUICE_RETURN_IF_ERROR(Verified());
  return std::move(graph_);
}

}  // namespace

absl::StatusOr<Graph> Parse(absl::string_view text, absl::string_view source,
                            const OpRegistry* registry) {
  return Parser(text, source, registry).Run();
}

}  // namespace sluice
