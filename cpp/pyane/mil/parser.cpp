#include "pyane/mil/parser.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "pyane/mil/limits.h"
#include "pyane/mil/parser_state.h"

namespace pyane::mil {
namespace {

// Positions and counts are ints, and nobody writes a text like that.
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

}  // namespace

Parser::Parser(const Source& source) : source_(source), lexer_(source) { token_ = lexer_.next(); }

Program Parser::parse_program() {
  Program program;
  expect_word("program", "at the start of the text");
  expect('(', "after program");
  program.version = parse_version();
  expect(')', "after the version");
  program.attributes = parse_attributes();
  expect('{', "before the functions of the program");
  std::unordered_set<std::string> names;
  while (!token_.is('}')) {
    const Token place = token_;
    program.functions.push_back(parse_function());
    if (const std::string& name = program.functions.back().name; !names.insert(name).second) {
      fail(place,
           "expected another name for this function: " + quoted(name) + " is defined already");
    }
  }
  take();
  if (token_.kind != TokenKind::kEnd) fail_expected("the end of the text after the program");
  return program;
}

std::string Parser::parse_version() {
  if (token_.kind != TokenKind::kNumber || !is_version(token_.text)) {
    fail_expected("a version such as 1.3");
  }
  return std::string(take().text);
}

Function Parser::parse_function() {
  Function function;
  function.location = token_.location;
  expect_word("func", "or '}' in a program");
  function.name = expect_name("the function's name").text;
  function.opset = parse_opset();
  if (!token_.is('(')) fail_expected("'(' before the function's parameters");
  function.parameters = parse_parameters();
  function.attributes = parse_attributes();
  parse_body(function.body);
  expect(';', "after the outputs of a function");
  return function;
}

void Parser::parse_body(Block& block) {
  const Nesting nesting(*this);
  expect('{', "before operations");
  while (!token_.is('}')) block.operations.push_back(parse_operation());
  take();
  block.operations.shrink_to_fit();
  if (token_.kind != TokenKind::kArrow) fail_expected("'->' and the outputs after '}'");
  take();
  expect('(', "before the outputs");
  if (accept(')')) return;
  do {
    block.outputs.push_back(parse_operand());
  } while (another(')', "after an output"));
}

std::vector<Value> Parser::parse_parameters() {
  std::vector<Value> parameters;
  expect('(', "before parameters");
  if (accept(')')) return parameters;
  do {
    parameters.push_back(parse_value());
  } while (another(')', "after a parameter"));
  return parameters;
}

std::string Parser::parse_opset() {
  if (!accept('<')) return {};
  std::string opset(expect_name("an opset such as ios18").text);
  expect('>', "after the opset");
  return opset;
}

Value Parser::parse_value() {
  Value value;
  value.type = parse_type();
  value.location = token_.location;
  value.name = expect_name("a name after the type").text;
  return value;
}

Operation Parser::parse_operation() {
  Operation operation;
  operation.location = token_.location;
  if (token_.kind != TokenKind::kIdentifier) {
    fail_expected("an operation, or '}' after the last one");
  }
  // Only an operation without results begins with its own name: `write_state(...)`.
  Lexer ahead = lexer_;
  const Token second = ahead.next();
  const bool has_results = at_type() && !second.is('(');
  if (!has_results && !second.is('(')) {
    const bool is_opset =
        second.is('<') && ahead.next().kind == TokenKind::kIdentifier && ahead.next().is('>');
    if (!is_opset) fail_expected("a result type such as fp16 or tensor<fp16, [1, 8]>");
  }
  if (has_results) {
    do {
      operation.outputs.push_back(parse_value());
    } while (accept(','));
    operation.outputs.shrink_to_fit();
    expect('=', "after the results of an operation");
  }
  operation.type = expect_name("an operation").text;
  operation.opset = parse_opset();
  operation.arguments = parse_arguments();
  operation.attributes = parse_attributes();
  if (token_.is('{') || token_.is('(') || token_.kind == TokenKind::kIdentifier) {
    do {
      operation.blocks.push_back(parse_block());
    } while (accept(',') || !token_.is(';'));
  }
  expect(';', "after the operation");
  return operation;
}

std::vector<Argument> Parser::parse_arguments() {
  std::vector<Argument> arguments;
  expect('(', "before the operation's arguments");
  if (accept(')')) return arguments;
  std::unordered_set<std::string_view> names;
  do {
    if (!names.insert(token_.text).second) {
      fail(token_, "expected another argument: " + quoted(token_.text) + " is given already");
    }
    arguments.push_back(parse_argument());
  } while (another(')', "after an argument"));
  arguments.shrink_to_fit();
  return arguments;
}

Argument Parser::parse_argument() {
  Argument argument;
  argument.location = token_.location;
  argument.name = expect_name("an argument's name").text;
  expect('=', "after an argument's name");
  if (!accept('(')) {
    argument.operands.push_back(parse_operand());
    return argument;
  }
  argument.is_tuple = true;
  if (accept(')')) return argument;
  do {
    argument.operands.push_back(parse_operand());
  } while (another(')', "after a value"));
  argument.operands.shrink_to_fit();
  return argument;
}

Operand Parser::parse_operand() {
  Operand operand;
  operand.location = token_.location;
  if (token_.is_word("true") || token_.is_word("false")) {
    fail_expected("a name, or a literal with its type such as bool(true)");
  }
  if (token_.kind != TokenKind::kIdentifier) {
    fail_expected("a name, or a literal with its type such as int32(1)");
  }
  if (at_type()) {
    // A value may be called `state`; then no type or payload follows.
    Lexer ahead = lexer_;
    const Token second = ahead.next();
    if (second.is('(') || second.is('<')) {
      operand.value = parse_literal();
      return operand;
    }
  }
  operand.value = std::string(take().text);
  return operand;
}

std::vector<Attribute> Parser::parse_attributes() {
  std::vector<Attribute> attributes;
  if (!accept('[') || accept(']')) return attributes;
  std::unordered_set<std::string_view> names;
  do {
    Attribute attribute;
    attribute.location = token_.location;
    const Token name = expect_name("an attribute's name");
    if (!names.insert(name.text).second) {
      fail(name, "expected another attribute: " + quoted(name.text) + " is given already");
    }
    attribute.name = name.text;
    expect('=', "after an attribute's name");
    attribute.value = parse_literal();
    attributes.push_back(std::move(attribute));
  } while (another(']', "after an attribute"));
  attributes.shrink_to_fit();
  return attributes;
}

Block Parser::parse_block() {
  Block block;
  if (token_.kind == TokenKind::kIdentifier) block.name = take().text;
  if (token_.is('(')) block.parameters = parse_parameters();
  parse_body(block);
  return block;
}

Token Parser::take() { return std::exchange(token_, lexer_.next()); }

bool Parser::accept(char punctuation) {
  if (!token_.is(punctuation)) return false;
  take();
  return true;
}

Token Parser::expect(char punctuation, std::string_view where) {
  if (!token_.is(punctuation)) {
    fail_expected(std::string("'") + punctuation + "' " + std::string(where));
  }
  return take();
}

void Parser::expect_word(std::string_view word, std::string_view where) {
  if (!token_.is_word(word)) fail_expected(quoted(word) + " " + std::string(where));
  take();
}

Token Parser::expect_name(std::string_view what) {
  if (token_.kind != TokenKind::kIdentifier) fail_expected(std::string(what));
  return take();
}

bool Parser::another(char close, std::string_view where) {
  if (accept(',')) return true;
  if (!token_.is(close)) {
    fail_expected(std::string("',' or '") + close + "' " + std::string(where));
  }
  take();
  return false;
}

void Parser::fail_expected(const std::string& what) const {
  fail(token_, "expected " + what + ", got " + describe(token_));
}

void Parser::fail(const Token& token, const std::string& message) const {
  source_.fail_at(token.text.data(), message);
}

Parser::Nesting::Nesting(Parser& parser) : parser_(parser) {
  if (++parser_.nesting_ > kMaxNesting) {
    parser_.fail(parser_.token_, "expected at most " + std::to_string(kMaxNesting) +
                                     " levels of nesting, got more");
  }
}

Program parse(std::string_view text, std::string source_name) {
  const Source source{.text = text, .name = source_name};
  if (text.size() > kMaxTextBytes) {
    source.fail(0, "expected at most " + std::to_string(kMaxTextBytes) + " bytes of text, got " +
                       std::to_string(text.size()));
  }
  if (const std::size_t offset = find_invalid_utf8(text); offset != text.size()) {
    source.fail(offset, "expected UTF-8 text, got byte " + quoted(text.substr(offset, 1)));
  }
  Program program = Parser(source).parse_program();
  program.source_name = std::move(source_name);
  return program;
}

}  // namespace pyane::mil
