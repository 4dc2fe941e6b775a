#pragma once

#include <pybind11/pybind11.h>

// One binding file per subject. Conversion, GIL and lifetime only; no algorithms here.
void bind_base(pybind11::module_& m);
void bind_mil(pybind11::module_& m);
void bind_literal(pybind11::module_& mil);  // Called by bind_mil, as are the next two.
void bind_blob(pybind11::module_& mil);
void bind_cost(pybind11::module_& mil);
void bind_model_spec(pybind11::module_& mil);
void bind_op_set(pybind11::module_& mil);
void bind_ceilings(pybind11::module_& base);  // Called by bind_base.
void bind_chip(pybind11::module_& m);
void bind_engine(pybind11::module_& m);
void bind_emulator(pybind11::module_& engine);  // Called by bind_engine.
void bind_profile(pybind11::module_& engine);   // Called by bind_engine.
void bind_surface(pybind11::module_& engine);   // Called by bind_engine.
void bind_train(pybind11::module_& m);
void bind_train_adam(pybind11::module_& train);
void bind_train_loss(pybind11::module_& train);
void bind_train_queue(pybind11::module_& train);
