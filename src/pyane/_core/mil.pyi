"""
MIL text: parser, printer, verifier, operation registry, weight files.
"""
from __future__ import annotations
import collections.abc
import numpy
import typing
import typing_extensions
__all__: list[str] = ['BlobRecord', 'BlobReference', 'BlobWriter', 'Block', 'Cost', 'Feature', 'Fill', 'Function', 'InputSpec', 'Interface', 'Literal', 'ModelSpec', 'OpRecord', 'Operation', 'OperationCost', 'Program', 'Type', 'Value', 'bind_dimensions', 'cost', 'infer_types', 'list_blobs', 'op_set', 'parse', 'read_blob', 'read_model_spec', 'verify', 'weights']
class Type:
    """
    Type of a MIL value. Immutable.
    """
    __hash__: typing.ClassVar[None] = None
    @staticmethod
    def dict_of(key: Type, value: Type) -> Type:
        ...
    @staticmethod
    def list_of(element: Type, length: typing.SupportsInt | typing.SupportsIndex | None = None) -> Type:
        ...
    @staticmethod
    def scalar(dtype: str) -> Type:
        """
        A tensor of rank 0, written as its element type alone.
        """
    @staticmethod
    def state(tensor: Type) -> Type:
        ...
    @staticmethod
    def tensor(dtype: str, shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex | None]) -> Type:
        """
        tensor<dtype, [shape]>; None is an unknown dimension.
        """
    @staticmethod
    def tuple_of(items: collections.abc.Sequence[Type]) -> Type:
        ...
    def __eq__(self, arg0: Type) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def same_type(self, other: Type) -> bool:
        """
        Equality that ignores how scalars are spelled.
        """
    @property
    def dtype(self) -> str | None:
        """
        Element type of a tensor or tensor buffer, else None.
        """
    @property
    def elements(self) -> list[Type]:
        """
        list: its item's type; dict: key and value; tuple: items; state: its tensor.
        """
    @property
    def interleave_factors(self) -> list[int]:
        """
        Of a tensor buffer.
        """
    @property
    def kind(self) -> str:
        """
        tensor, list, dict, tuple, state or tensor_buffer.
        """
    @property
    def length(self) -> int | None:
        """
        Items of a list, None when unknown.
        """
    @property
    def shape(self) -> tuple:
        """
        Dimensions of a tensor or tensor buffer; None for one that is unknown.
        """
    @property
    def short_form(self) -> bool:
        """
        Written `fp16`, not `tensor<fp16, []>`.
        """
    @property
    def strides(self) -> list[int]:
        """
        Of a tensor buffer.
        """
class BlobReference:
    """
    Place of a tensor in a weight file.
    """
    def __repr__(self) -> str:
        ...
    @property
    def offset(self) -> int:
        ...
    @property
    def path(self) -> str:
        ...
class Literal:
    """
    A typed constant in MIL text. Immutable.
    """
    __hash__: typing.ClassVar[None] = None
    @staticmethod
    def blob(type: Type, path: str, offset: typing.SupportsInt | typing.SupportsIndex) -> Literal:
        ...
    @staticmethod
    def items(type: Type, items: collections.abc.Sequence[Literal]) -> Literal:
        """
        List or tuple of its items; dict of key, value, key, value, ...
        """
    @staticmethod
    def string(text: str) -> Literal:
        ...
    @staticmethod
    def string_dict(entries: dict) -> Literal:
        """
        dict<string, string>, as in `buildInfo`.
        """
    @staticmethod
    def strings(strings: collections.abc.Sequence[str]) -> Literal:
        """
        tensor<string, [n]>
        """
    @staticmethod
    def tensor(array: typing.Any, dtype: str | None = None, *, short_form: bool = True) -> Literal:
        """
        Numbers or bools from an array of the dtype that `value` has. bf16 and fp8 are
        given as their bits; a 0-d array makes a scalar, short or `tensor<.., []>`.
        """
    def __eq__(self: Literal, arg0: Literal) -> bool:
        ...
    def __repr__(self: Literal) -> str:
        ...
    @property
    def location(self) -> tuple[int, int]:
        ...
    @property
    def type(self) -> Type:
        ...
    @property
    def value(self) -> typing.Any:
        """
        A Python number, bool or string for a scalar; a read-only array for a tensor (bf16 and
        fp8 as bits), a (nested) list for a tensor of strings; list, tuple, dict; or a
        BlobReference.
        """
class Block:
    """
    Operations nested in an operation.
    """
    def __init__(self, name: str, parameters: collections.abc.Sequence[Value], operations: collections.abc.Sequence[Operation], outputs: collections.abc.Iterable) -> None:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def operations(self) -> tuple:
        ...
    @property
    def outputs(self) -> tuple:
        ...
    @property
    def parameters(self) -> tuple:
        ...
class Value:
    """
    A named value with its type: a parameter or a result.
    """
    __hash__: typing.ClassVar[None] = None
    def __eq__(self, arg0: Value) -> bool:
        ...
    def __init__(self, type: Type, name: str) -> None:
        ...
    def __repr__(self) -> str:
        ...
    @property
    def location(self) -> tuple:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def type(self) -> Type:
        ...
class Operation:
    """
    `outputs = type<opset>(arguments)[attributes];`
    """
    __hash__: typing.ClassVar[None] = None
    def __eq__(self, arg0: Operation) -> bool:
        ...
    def __init__(self, type: str, outputs: collections.abc.Sequence[Value], arguments: dict, attributes: dict = {}, opset: str = '', blocks: collections.abc.Sequence[Block] = ()) -> None:
        """
        Arguments by name: the name of a value, a Literal, or a tuple of these.
        """
    def __repr__(self) -> str:
        ...
    @property
    def arguments(self) -> dict:
        """
        By name: the name of a value, a Literal, or a tuple of these.
        """
    @property
    def attributes(self) -> dict:
        ...
    @property
    def blocks(self) -> tuple:
        ...
    @property
    def location(self) -> tuple:
        ...
    @property
    def name(self) -> str:
        """
        The `name` attribute, else the first result's name.
        """
    @property
    def opset(self) -> str:
        ...
    @property
    def outputs(self) -> tuple:
        ...
    @property
    def type(self) -> str:
        ...
class Function:
    """
    `func name<opset>(parameters) { operations } -> (outputs)`
    """
    __hash__: typing.ClassVar[None] = None
    def __eq__(self, arg0: Function) -> bool:
        ...
    def __init__(self, name: str, parameters: collections.abc.Sequence[Value], operations: collections.abc.Sequence[Operation], outputs: collections.abc.Iterable, opset: str = 'ios18', attributes: dict = {}) -> None:
        ...
    def __repr__(self) -> str:
        ...
    @property
    def attributes(self) -> dict:
        ...
    @property
    def location(self) -> tuple:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def operations(self) -> tuple:
        ...
    @property
    def opset(self) -> str:
        ...
    @property
    def outputs(self) -> tuple:
        ...
    @property
    def parameters(self) -> tuple:
        ...
class Program:
    """
    A MIL program as written.
    """
    __hash__: typing.ClassVar[None] = None
    def __eq__(self, arg0: Program) -> bool:
        ...
    def __init__(self, functions: collections.abc.Sequence[Function], attributes: dict = {}, version: str = '1.3', source_name: str = '<text>') -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def attributes(self) -> dict:
        ...
    @property
    def functions(self) -> tuple:
        ...
    @property
    def source_name(self) -> str:
        ...
    @property
    def version(self) -> str:
        ...
    @property
    def weight_paths(self) -> tuple:
        """
        Paths of the weight files that literals refer to, sorted.
        """
class BlobRecord:
    """
    What a weight file says about one tensor.
    """
    @property
    def data_offset(self) -> int:
        ...
    @property
    def dtype(self) -> str:
        ...
    @property
    def n_bytes(self) -> int:
        ...
    @property
    def offset(self) -> int:
        """
        As in BLOBFILE(offset = ...).
        """
    @property
    def padding_bits(self) -> int:
        ...
class BlobWriter:
    """
    Builds a weight file in memory, byte for byte as Apple's writer.
    """
    def __init__(self) -> None:
        ...
    def add(self, array: numpy.ndarray, dtype: str | None = None) -> int:
        """
        Appends a tensor and returns the offset to write in the text.
        """
    def finish(self) -> numpy.ndarray:
        """
        The file as a read-only array of uint8, not copied; the writer starts a new one.
        """
    @property
    def n_bytes(self) -> int:
        ...
class OperationCost:
    """
    What one operation costs.
    """
    @property
    def family(self) -> str:
        ...
    @property
    def flops(self) -> float | None:
        """
        A multiply-add counts 2; None when dimensions are unknown.
        """
    @property
    def location(self) -> tuple[int, int]:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def op(self) -> str:
        ...
class Cost:
    """
    What a function costs to evaluate.
    """
    @property
    def input_bytes(self) -> int | None:
        ...
    @property
    def operations(self) -> list:
        ...
    @property
    def output_bytes(self) -> int | None:
        ...
    @property
    def peak_activation_bytes(self) -> int | None:
        ...
    @property
    def state_bytes(self) -> int | None:
        ...
class Feature:
    """
    An input, output or state as Core ML describes it to apps.
    """
    @property
    def color_space(self) -> str:
        """
        Of an image: RGB, BGR, grayscale, grayscale fp16; else empty.
        """
    @property
    def is_optional(self) -> bool:
        ...
    @property
    def kind(self) -> str:
        """
        multiArray, image, state, string, dictionary, ...
        """
    @property
    def name(self) -> str:
        ...
    @property
    def shape(self) -> list[int]:
        """
        Default of an array whose shape may vary.
        """
class Interface:
    """
    Features of a function.
    """
    @property
    def function(self) -> str:
        """
        Empty: the default function.
        """
    @property
    def inputs(self) -> list[Feature]:
        ...
    @property
    def outputs(self) -> list[Feature]:
        ...
    @property
    def states(self) -> list[Feature]:
        ...
class ModelSpec:
    """
    A Core ML model as stored.
    """
    @property
    def default_function(self) -> str:
        ...
    @property
    def interfaces(self) -> list[Interface]:
        ...
    @property
    def kind(self) -> str:
        """
        mlProgram, neuralNetwork, ...; empty: none.
        """
    @property
    def program(self) -> Program:
        """
        Of an mlProgram; otherwise without functions.
        """
    @property
    def specification_version(self) -> int:
        ...
class Fill:
    """
    Default of a vector with entries for each spatial dimension of x.
    """
    @property
    def per_spatial_dim(self) -> int:
        ...
    @property
    def value(self) -> int:
        ...
class InputSpec:
    """
    One input of an operation.
    """
    @property
    def default(self) -> typing.Any:
        """
        None: no default, may be absent.
        """
    @property
    def dtypes(self) -> list[str]:
        """
        Accepted element types.
        """
    @property
    def group(self) -> str:
        """
        Inputs with the same letter share an element type; empty: free.
        """
    @property
    def is_constant(self) -> bool:
        """
        Must be known before evaluation.
        """
    @property
    def is_required(self) -> bool:
        ...
    @property
    def is_variadic(self) -> bool:
        """
        Takes a tuple of values.
        """
    @property
    def kind(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def rank(self) -> int:
        """
        0: a scalar; 1: a vector; -1: any.
        """
class OpRecord:
    """
    One operation of MIL.
    """
    def __repr__(self) -> str:
        ...
    @property
    def family(self) -> str:
        ...
    @property
    def inputs(self) -> list[InputSpec]:
        ...
    @property
    def is_constexpr(self) -> bool:
        ...
    @property
    def is_impure(self) -> bool:
        """
        Gives other numbers at every evaluation, or changes something.
        """
    @property
    def n_blocks(self) -> int:
        """
        Blocks nested in it.
        """
    @property
    def name(self) -> str:
        ...
    @property
    def opset(self) -> str:
        """
        First opset that has it.
        """
    @property
    def returns_tuple(self) -> bool:
        ...
def bind_dimensions(program: Program, function: str, shapes: collections.abc.Mapping[str, collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]]) -> Program:
    """
    The program with dimensions `?` of a function's parameters given by name, and all types worked out from them. Raises ShapeError, CompileError, MilVerifyError.
    """
def cost(program: Program, function: str) -> Cost:
    """
    Verifies a function and says what evaluating it costs. Raises what verify raises.
    """
def infer_types(operation: Operation, values: collections.abc.Sequence[tuple[Value, bool]]) -> list[Type]:
    """
    Result types of an operation without results; `values` are those it names, with True for
    the ones that are constants.
    """
def list_blobs(file: typing_extensions.Buffer, path: str = '<blob>') -> list[BlobRecord]:
    ...
def op_set() -> list:
    """
    Every operation pyane knows, by name.
    """
def parse(text: typing.Any, source_name: str = '<text>') -> Program:
    """
    Parses MIL text (str, or bytes of UTF-8).
    """
def read_blob(file: typing_extensions.Buffer, offset: typing.SupportsInt | typing.SupportsIndex, dtype: str, shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], strict: bool = False, path: str = '<blob>') -> numpy.ndarray:
    ...
def read_model_spec(data: typing_extensions.Buffer, source_name: str = '<model>') -> ModelSpec:
    """
    Reads a .mlmodel: protobuf. Raises ModelError.
    """
def verify(program: Program) -> None:
    """
    Checks names and types of every function; weight files are not read.
    """
def weights(program: Program, function: str) -> list:
    """
    Tensors of a function in weight files: (element type, tensors, bytes as stored).
    """
