#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "pyane/engine/profile.h"

// Where the time of one evaluation went.

namespace py = pybind11;
using pyane::Profile;
using pyane::ProfileGroup;
using pyane::ProfileSpan;

void bind_profile(py::module_& engine) {
  py::class_<ProfileGroup>(engine, "ProfileGroup", "What a device evaluates at once.")
      .def_readonly("operations", &ProfileGroup::operations, "MIL names; none: copies.")
      .def_readonly("output", &ProfileGroup::output, "Name of the first value made.")
      .def_readonly("line", &ProfileGroup::line, "Of the first operation, in the text.")
      .def_readonly("parent", &ProfileGroup::parent,
                    "Index of the cond or while_loop in whose block it is, or None.")
      .def_readonly("flops", &ProfileGroup::flops, "Of one run; None: not known.")
      .def_readonly("n_bytes", &ProfileGroup::n_bytes,
                    "Of the tensors that one run reads and writes; None: of its blocks.")
      .def_readonly("runs", &ProfileGroup::runs)
      .def_readonly("total_ns", &ProfileGroup::total_ns, "Of all runs, blocks included.");
  py::class_<Profile>(engine, "Profile", "Where the time of one evaluation went.")
      .def_readonly("groups", &Profile::groups, "Those that ran, parents first.")
      .def_property_readonly(
          "spans",
          [](const Profile& profile) {
            py::list spans;
            for (const ProfileSpan& span : profile.spans) {
              spans.append(py::make_tuple(span.thread, span.group, span.begin_ns, span.end_ns));
            }
            return spans;
          },
          "(thread, group, begin_ns, end_ns); thread 0 evaluates, others help.")
      .def_readonly("total_ns", &Profile::total_ns);
}
