#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "pyane/mil/proto/model_spec.h"

// The protobuf form of Core ML models.

namespace py = pybind11;
using pyane::mil::Program;
using pyane::mil::proto::Feature;
using pyane::mil::proto::Interface;
using pyane::mil::proto::ModelSpec;

namespace {

std::shared_ptr<ModelSpec> read_spec(const py::buffer& buffer, const std::string& source_name) {
  const py::buffer_info info = buffer.request();
  const std::span bytes(static_cast<const std::byte*>(info.ptr),
                        static_cast<std::size_t>(info.size * info.itemsize));
  const py::gil_scoped_release release;
  return std::make_shared<ModelSpec>(pyane::mil::proto::read_model_spec(bytes, source_name));
}

}  // namespace

void bind_model_spec(py::module_& m) {
  py::class_<Feature>(m, "Feature", "An input, output or state as Core ML describes it to apps.")
      .def_readonly("name", &Feature::name)
      .def_readonly("kind", &Feature::kind, "multiArray, image, state, string, dictionary, ...")
      .def_readonly("shape", &Feature::shape, "Default of an array whose shape may vary.")
      .def_readonly("color_space", &Feature::color_space,
                    "Of an image: RGB, BGR, grayscale, grayscale fp16; else empty.")
      .def_readonly("is_optional", &Feature::is_optional);
  py::class_<Interface>(m, "Interface", "Features of a function.")
      .def_readonly("function", &Interface::function, "Empty: the default function.")
      .def_readonly("inputs", &Interface::inputs)
      .def_readonly("outputs", &Interface::outputs)
      .def_readonly("states", &Interface::states);
  py::class_<ModelSpec, std::shared_ptr<ModelSpec>>(m, "ModelSpec", "A Core ML model as stored.")
      .def_readonly("specification_version", &ModelSpec::specification_version)
      .def_readonly("kind", &ModelSpec::kind, "mlProgram, neuralNetwork, ...; empty: none.")
      .def_readonly("default_function", &ModelSpec::default_function)
      .def_readonly("interfaces", &ModelSpec::interfaces)
      .def_property_readonly(
          "program",
          [](const std::shared_ptr<ModelSpec>& spec) {
            return std::shared_ptr<Program>(spec, &spec->program);
          },
          "Of an mlProgram; otherwise without functions.");
  m.def("read_model_spec", &read_spec, py::arg("data"), py::arg("source_name") = "<model>",
        "Reads a .mlmodel: protobuf. Raises ModelError.");
}
