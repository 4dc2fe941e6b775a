#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pyane/mil/lexer.h"
#include "pyane/mil/program.h"
#include "pyane/mil/source.h"

// Recursive descent with one token of look-ahead, in three files by subject: parser.cpp (program,
// functions, operations), type_parser.cpp, literal_parser.cpp. Grammar: docs/mil_text.md.

namespace pyane::mil {

class Parser {
 public:
  explicit Parser(const Source& source);
  Program parse_program();

 private:
  // parser.cpp
  std::string parse_version();
  Function parse_function();
  void parse_body(Block& block);
  std::vector<Value> parse_parameters();
  std::string parse_opset();
  Value parse_value();
  Operation parse_operation();
  std::vector<Argument> parse_arguments();
  Argument parse_argument();
  Operand parse_operand();
  std::vector<Attribute> parse_attributes();
  Block parse_block();

  // type_parser.cpp
  /// True when the next token is a word that types begin with.
  bool at_type() const;
  Type parse_type();
  Type parse_tensor_type();
  Type parse_tensor_buffer_type();
  Type parse_list_type();
  DType parse_dtype();
  std::vector<std::int64_t> parse_dimensions(const char* what, std::int64_t largest,
                                             bool takes_unknown);
  std::int64_t parse_integer(const char* what, std::int64_t largest);
  void check_element_count(const Token& place, const Shape& dims);

  // literal_parser.cpp
  Literal parse_literal();
  void parse_payload(Literal& literal);
  Literal parse_item(const Type& type);
  void parse_list_items(Literal& literal);
  void parse_tuple_items(Literal& literal);
  void parse_dict_items(Literal& literal);
  BlobReference parse_blob_reference();
  void parse_tensor(Literal& literal);
  struct TensorTarget;
  void parse_elements(TensorTarget& target, std::size_t axis);
  void parse_element(TensorTarget& target);
  void parse_number_element(DType dtype, std::byte* target);

  // Tokens.
  Token take();
  bool accept(char punctuation);
  Token expect(char punctuation, std::string_view where);
  void expect_word(std::string_view word, std::string_view where);
  Token expect_name(std::string_view what);
  /// True after ',' (another item follows), false after `close`.
  bool another(char close, std::string_view where);
  /// Throws `expected <what>, got <token>`, at the next token or the one given.
  [[noreturn]] void fail_expected(const std::string& what) const;
  [[noreturn]] void fail(const Token& token, const std::string& message) const;

  /// Counts levels of recursion; destruction leaves one.
  class Nesting {
   public:
    explicit Nesting(Parser& parser);
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  const Source& source_;
  Lexer lexer_;
  Token token_;  ///< The next token.
  int nesting_ = 0;
  std::size_t item_count_ = 0;  ///< Items of lists, tuples and dicts so far,
  std::size_t type_bytes_ = 0;  ///< and the memory of their types: kTypeBytesPerItem.
};

}  // namespace pyane::mil
