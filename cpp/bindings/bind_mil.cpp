#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <set>

#include "bindings.h"
#include "pyane/base/error.h"
#include "pyane/mil/lexer.h"
#include "pyane/mil/limits.h"
#include "pyane/mil/parser.h"
#include "pyane/mil/printer.h"
#include "pyane/mil/program.h"

// Programs, functions, operations: made by the parser or piece by piece from Python; immutable.

namespace py = pybind11;
using namespace pyane;
using mil::Argument;
using mil::Attribute;
using mil::Block;
using mil::Function;
using mil::Literal;
using mil::Location;
using mil::Operand;
using mil::Operation;
using mil::Program;
using mil::Value;

namespace {

py::tuple to_tuple(const Location& location) {
  return py::make_tuple(location.line, location.column);
}

std::string checked_name(std::string name, const char* what) {
  if (!mil::is_name(name)) {
    throw MilVerifyError(
        std::string(what) + " must match [A-Za-z_][A-Za-z0-9_@]*, got " + mil::quoted(name), "", 0,
        0);
  }
  return name;
}

std::string checked_opset(std::string opset) {
  return opset.empty() ? opset : checked_name(std::move(opset), "an opset");
}

Operand to_operand(const py::handle& object) {
  if (py::isinstance<py::str>(object)) {
    return {.value = checked_name(object.cast<std::string>(), "the name of a value"),
            .location = {}};
  }
  return {.value = object.cast<const Literal&>(), .location = {}};
}

py::object from_operand(const Operand& operand, const py::handle& parent) {
  if (operand.is_name()) return py::str(operand.name());
  return py::cast(operand.literal(), py::return_value_policy::reference_internal, parent);
}

std::vector<Operand> to_operands(const py::iterable& objects) {
  std::vector<Operand> operands;
  for (const py::handle object : objects) operands.push_back(to_operand(object));
  return operands;
}

py::tuple from_operands(const std::vector<Operand>& operands, const py::handle& parent) {
  py::tuple objects(operands.size());
  for (std::size_t i = 0; i < operands.size(); ++i) objects[i] = from_operand(operands[i], parent);
  return objects;
}

std::vector<Argument> to_arguments(const py::dict& objects) {
  std::vector<Argument> arguments;
  for (const auto& [name, object] : objects) {
    Argument argument;
    argument.name = checked_name(name.cast<std::string>(), "the name of an argument");
    argument.is_tuple = py::isinstance<py::tuple>(object) || py::isinstance<py::list>(object);
    if (argument.is_tuple) {
      argument.operands = to_operands(py::reinterpret_borrow<py::iterable>(object));
    } else {
      argument.operands.push_back(to_operand(object));
    }
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

py::dict from_arguments(const std::vector<Argument>& arguments, const py::handle& parent) {
  py::dict objects;
  for (const Argument& argument : arguments) {
    const py::tuple operands = from_operands(argument.operands, parent);
    objects[py::str(argument.name)] = argument.is_tuple ? py::object(operands) : operands[0];
  }
  return objects;
}

std::vector<Attribute> to_attributes(const py::dict& objects) {
  std::vector<Attribute> attributes;
  for (const auto& [name, literal] : objects) {
    attributes.push_back(
        {.name = checked_name(name.cast<std::string>(), "the name of an attribute"),
         .value = literal.cast<const Literal&>(),
         .location = {}});
  }
  return attributes;
}

py::dict from_attributes(const std::vector<Attribute>& attributes, const py::handle& parent) {
  py::dict objects;
  for (const Attribute& attribute : attributes) {
    objects[py::str(attribute.name)] =
        py::cast(attribute.value, py::return_value_policy::reference_internal, parent);
  }
  return objects;
}

// Parts of a program stay inside it; the Python objects keep it alive.
template <typename Owner, typename Item>
auto items(const std::vector<Item> Owner::* member) {
  return [member](const py::object& self) {
    const std::vector<Item>& list = self.cast<const Owner&>().*member;
    py::tuple objects(list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      objects[i] = py::cast(list[i], py::return_value_policy::reference_internal, self);
    }
    return objects;
  };
}

template <typename Owner>
py::dict attributes(const py::object& self) {
  return from_attributes(self.cast<const Owner&>().attributes, self);
}

void check_depth(const Block& block) {
  if (depth(block) >= mil::kMaxNesting) {
    throw MilVerifyError("blocks must have fewer than " + std::to_string(mil::kMaxNesting) +
                             " levels of nesting, got " + std::to_string(depth(block)),
                         "", 0, 0);
  }
}

// What the grammar could not hold: it would print, but not parse.
void check_program(const std::vector<Function>& functions, const std::string& version) {
  if (!mil::is_version(version)) {
    throw MilVerifyError("the version of a program must be like 1.3, got " + mil::quoted(version),
                         "", 0, 0);
  }
  std::set<std::string_view> names;
  for (const Function& function : functions) {
    if (!names.insert(function.name).second) {
      throw MilVerifyError("the functions of a program must have different names, got " +
                               mil::quoted(function.name) + " twice",
                           "", 0, 0);
    }
  }
}

void collect_paths(const Literal& literal, std::set<std::string>& paths) {
  if (const auto* const blob = std::get_if<mil::BlobReference>(&literal.payload)) {
    paths.insert(blob->path);
  } else if (const auto* const parts = std::get_if<std::vector<Literal>>(&literal.payload)) {
    for (const Literal& part : *parts) collect_paths(part, paths);
  }
}

void collect_paths(const Block& block, std::set<std::string>& paths) {
  for (const Operation& operation : block.operations) {
    for (const Attribute& attribute : operation.attributes) collect_paths(attribute.value, paths);
    for (const Argument& argument : operation.arguments) {
      for (const Operand& operand : argument.operands) {
        if (!operand.is_name()) collect_paths(operand.literal(), paths);
      }
    }
    for (const Block& nested : operation.blocks) collect_paths(nested, paths);
  }
}

py::tuple weight_paths(const Program& program) {
  std::set<std::string> paths;
  for (const Attribute& attribute : program.attributes) collect_paths(attribute.value, paths);
  for (const Function& function : program.functions) {
    for (const Attribute& attribute : function.attributes) collect_paths(attribute.value, paths);
    collect_paths(function.body, paths);
  }
  py::list list;
  for (const std::string& path : paths) list.append(path);
  return py::tuple(list);
}

Program parse_text(const py::object& text, const std::string& source_name) {
  py::object bytes = text;
  if (py::isinstance<py::str>(text)) {
    // Half a surrogate pair has no UTF-8 form; passed on, it meets the parser's own message.
    bytes = text.attr("encode")("utf-8", "surrogatepass");
  }
  const auto buffer = py::reinterpret_borrow<py::buffer>(bytes).request();
  const std::string_view view(static_cast<const char*>(buffer.ptr),
                              static_cast<std::size_t>(buffer.size * buffer.itemsize));
  const py::gil_scoped_release release;
  return mil::parse(view, source_name);
}

void bind_operation(py::module_& m) {
  py::class_<Value>(m, "Value", "A named value with its type: a parameter or a result.")
      .def(py::init([](const mil::Type& type, std::string name) {
             return Value{.type = type,
                          .name = checked_name(std::move(name), "the name of a value"),
                          .location = {}};
           }),
           py::arg("type"), py::arg("name"))
      .def_readonly("type", &Value::type)
      .def_readonly("name", &Value::name)
      .def_property_readonly("location", [](const Value& v) { return to_tuple(v.location); })
      .def(
          "__eq__", [](const Value& a, const Value& b) { return a == b; }, py::is_operator())
      .def("__repr__", [](const Value& v) { return to_string(v.type) + " " + v.name; });

  py::class_<Operation>(m, "Operation", "`outputs = type<opset>(arguments)[attributes];`")
      .def(py::init([](std::string type, std::vector<Value> outputs, const py::dict& arguments,
                       const py::dict& attributes, std::string opset, std::vector<Block> blocks) {
             for (const Block& block : blocks) check_depth(block);
             return Operation{.type = checked_name(std::move(type), "the name of an operation"),
                              .opset = checked_opset(std::move(opset)),
                              .outputs = std::move(outputs),
                              .arguments = to_arguments(arguments),
                              .attributes = to_attributes(attributes),
                              .blocks = std::move(blocks),
                              .location = {}};
           }),
           py::arg("type"), py::arg("outputs"), py::arg("arguments"),
           py::arg("attributes") = py::dict(), py::arg("opset") = "",
           py::arg("blocks") = py::tuple(),
           "Arguments by name: the name of a value, a Literal, or a tuple of these.")
      .def_readonly("type", &Operation::type)
      .def_readonly("opset", &Operation::opset)
      .def_property_readonly("name", &Operation::display_name,
                             "The `name` attribute, else the first result's name.")
      .def_property_readonly("outputs", items(&Operation::outputs))
      .def_property_readonly(
          "arguments",
          [](const py::object& self) {
            return from_arguments(self.cast<const Operation&>().arguments, self);
          },
          "By name: the name of a value, a Literal, or a tuple of these.")
      .def_property_readonly("attributes", &attributes<Operation>)
      .def_property_readonly("blocks", items(&Operation::blocks))
      .def_property_readonly("location", [](const Operation& o) { return to_tuple(o.location); })
      .def(
          "__eq__", [](const Operation& a, const Operation& b) { return a == b; },
          py::is_operator())
      .def("__repr__", [](const Operation& o) { return print(o); });
}

}  // namespace

void bind_mil(py::module_& m) {
  auto mil = m.def_submodule(
      "mil", "MIL text: parser, printer, verifier, operation registry, weight files.");
  bind_literal(mil);
  py::class_<Block> block(mil, "Block", "Operations nested in an operation.");
  bind_operation(mil);
  block
      .def(py::init([](std::string name, std::vector<Value> parameters,
                       std::vector<Operation> operations, const py::iterable& outputs) {
             Block b{.name = std::move(name),
                     .parameters = std::move(parameters),
                     .operations = std::move(operations),
                     .outputs = to_operands(outputs)};
             if (!b.name.empty()) checked_name(b.name, "the name of a block");
             check_depth(b);
             return b;
           }),
           py::arg("name"), py::arg("parameters"), py::arg("operations"), py::arg("outputs"))
      .def_readonly("name", &Block::name)
      .def_property_readonly("parameters", items(&Block::parameters))
      .def_property_readonly("operations", items(&Block::operations))
      .def_property_readonly("outputs", [](const py::object& self) {
        return from_operands(self.cast<const Block&>().outputs, self);
      });

  py::class_<Function>(mil, "Function",
                       "`func name<opset>(parameters) { operations } -> (outputs)`")
      .def(py::init([](std::string name, std::vector<Value> parameters,
                       std::vector<Operation> operations, const py::iterable& outputs,
                       std::string opset, const py::dict& attributes) {
             Function f{.name = checked_name(std::move(name), "the name of a function"),
                        .opset = checked_opset(std::move(opset)),
                        .parameters = std::move(parameters),
                        .attributes = to_attributes(attributes),
                        .body = {},
                        .location = {}};
             f.body.operations = std::move(operations);
             f.body.outputs = to_operands(outputs);
             return f;
           }),
           py::arg("name"), py::arg("parameters"), py::arg("operations"), py::arg("outputs"),
           py::arg("opset") = "ios18", py::arg("attributes") = py::dict())
      .def_readonly("name", &Function::name)
      .def_readonly("opset", &Function::opset)
      .def_property_readonly("parameters", items(&Function::parameters))
      .def_property_readonly("attributes", &attributes<Function>)
      .def_property_readonly("operations",
                             [](const py::object& self) {
                               const Block& body = self.cast<const Function&>().body;
                               py::tuple objects(body.operations.size());
                               for (std::size_t i = 0; i < body.operations.size(); ++i) {
                                 objects[i] =
                                     py::cast(body.operations[i],
                                              py::return_value_policy::reference_internal, self);
                               }
                               return objects;
                             })
      .def_property_readonly("outputs",
                             [](const py::object& self) {
                               return from_operands(self.cast<const Function&>().body.outputs,
                                                    self);
                             })
      .def_property_readonly("location", [](const Function& f) { return to_tuple(f.location); })
      .def(
          "__eq__", [](const Function& a, const Function& b) { return a == b; }, py::is_operator())
      .def("__repr__", [](const Function& f) { return print(f); });

  py::class_<Program, std::shared_ptr<Program>>(mil, "Program", "A MIL program as written.")
      .def(py::init([](std::vector<Function> functions, const py::dict& attributes,
                       std::string version, std::string source_name) {
             check_program(functions, version);
             return Program{.version = std::move(version),
                            .attributes = to_attributes(attributes),
                            .functions = std::move(functions),
                            .source_name = std::move(source_name)};
           }),
           py::arg("functions"), py::arg("attributes") = py::dict(), py::arg("version") = "1.3",
           py::arg("source_name") = "<text>")
      .def_readonly("version", &Program::version)
      .def_readonly("source_name", &Program::source_name)
      .def_property_readonly("attributes", &attributes<Program>)
      .def_property_readonly("functions", items(&Program::functions))
      .def_property_readonly("weight_paths", &weight_paths,
                             "Paths of the weight files that literals refer to, sorted.")
      .def(
          "__eq__", [](const Program& a, const Program& b) { return a == b; }, py::is_operator())
      .def(
          "__str__", [](const Program& program) { return print(program); },
          py::call_guard<py::gil_scoped_release>());

  mil.def("parse", &parse_text, py::arg("text"), py::arg("source_name") = "<text>",
          "Parses MIL text (str, or bytes of UTF-8).");
  bind_blob(mil);
  bind_cost(mil);
  bind_model_spec(mil);
  bind_op_set(mil);
}
