"""Every operator against ONNX Runtime, each attribute that changes what it computes."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from extract.engines.onnx_module import OnnxModule, UnsupportedOperator
from extract.engines.onnx_operators import OPERATORS

RNG = np.random.default_rng(0)


def rand(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


X = (2, 4, 7, 9)
PLAIN = ("Abs", "Neg", "Exp", "Reciprocal", "Erf", "Tanh", "Sigmoid", "Relu", "Softplus", "Identity")
CASES = [
    # operator, opset, shape of the input, constant inputs (None: left out), attributes
    ("Conv", 11, X, [rand(6, 4, 3, 3), rand(6)], {"strides": [2, 1], "pads": [1, 0, 1, 0]}),
    ("Conv", 11, X, [rand(6, 4, 3, 3)], {"pads": [0, 1, 2, 0], "dilations": [1, 2]}),
    ("Conv", 11, X, [rand(4, 1, 3, 2)], {"auto_pad": "SAME_UPPER", "group": 4, "strides": [2, 2]}),
    ("Conv", 11, X, [rand(8, 2, 2, 4)], {"auto_pad": "SAME_LOWER", "group": 2, "strides": [1, 2]}),
    ("Conv", 11, X, [rand(6, 4, 3, 3)], {"auto_pad": "VALID"}),
    ("Conv", 11, (2, 4, 9), [rand(6, 4, 3), rand(6)], {"pads": [1, 1]}),
    ("Gemm", 11, (3, 4), [rand(5, 4), rand(5)], {"transB": 1}),
    ("Gemm", 11, (4, 3), [rand(4, 5), rand(3, 1)], {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", 11, (3, 4), [rand(4, 5)], {}),
    ("MatMul", 11, (2, 3, 4), [rand(4, 5)], {}),
    ("Einsum", 12, (2, 3, 4), [rand(2, 5, 4)], {"equation": "bij,bkj->bik"}),
    ("Add", 11, X, [rand(4, 1, 1)], {}),
    ("Sub", 11, X, [rand(9)], {}),
    ("Mul", 11, X, [rand(1)], {}),
    ("Div", 11, X, [rand(4, 1, 1)], {}),
    ("Pow", 12, X, [np.float32(2)], {}),
    ("Sum", 11, X, [rand(9), rand(7, 1)], {}),
    ("Max", 12, X, [np.float32(0.1), rand(9)], {}),
    ("Min", 12, X, [rand(9)], {}),
    ("Clip", 6, X, [], {"min": -0.5, "max": 0.5}),
    ("Clip", 11, X, [np.float32(0)], {}),
    ("Clip", 11, X, [None, np.float32(0.3)], {}),
    ("Softmax", 11, X, [], {}),
    ("Softmax", 11, X, [], {"axis": 2}),
    ("Softmax", 13, X, [], {}),
    ("Softmax", 13, X, [], {"axis": 1}),
    ("LogSoftmax", 13, X, [], {}),
    ("BatchNormalization", 11, X, [rand(4), rand(4), rand(4), abs(rand(4))], {"epsilon": 0.1}),
    ("BatchNormalization", 11, (3, 4), [rand(4), rand(4), rand(4), abs(rand(4))], {}),
    ("InstanceNormalization", 11, X, [rand(4), rand(4)], {"epsilon": 0.1}),
    ("LayerNormalization", 17, X, [rand(9), rand(9)], {}),
    ("LayerNormalization", 17, X, [rand(7, 9)], {"axis": 2, "epsilon": 0.1}),
    ("GroupNormalization", 21, X, [rand(4), rand(4)], {"num_groups": 2}),
    ("PRelu", 11, X, [rand(4, 1, 1)], {}),
    ("LeakyRelu", 11, X, [], {}),
    ("LeakyRelu", 11, X, [], {"alpha": 0.3}),
    ("Elu", 11, X, [], {"alpha": 0.3}),
    ("Gelu", 20, X, [], {}),
    ("Gelu", 20, X, [], {"approximate": "tanh"}),
    ("HardSigmoid", 11, X, [], {}),
    ("HardSigmoid", 11, X, [], {"alpha": 0.4, "beta": 0.3}),
    ("HardSwish", 14, X, [], {}),
    ("Mish", 18, X, [], {}),
    *((name, 13, X, [], {}) for name in PLAIN),
    ("MaxPool", 11, X, [], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", 11, X, [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", 11, X, [], {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("MaxPool", 11, X, [], {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    ("AveragePool", 11, X, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", 11, X, [], {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1]}),
    ("AveragePool", 11, X, [], {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "count_include_pad": 1}),
    ("AveragePool", 11, X, [], {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("GlobalAveragePool", 11, X, [], {}),
    ("GlobalMaxPool", 11, X, [], {}),
    ("ReduceMean", 11, X, [], {"axes": [2, 3], "keepdims": 0}),
    ("ReduceMean", 11, X, [], {"axes": [-1]}),
    ("ReduceMean", 18, X, [ints(2, 3)], {"keepdims": 0}),
    ("ReduceMean", 18, X, [ints()], {"noop_with_empty_axes": 1}),
    ("ReduceSum", 13, X, [ints(1)], {}),
    ("ReduceMax", 11, X, [], {"axes": [1, 2]}),
    ("ReduceMin", 11, X, [], {"axes": [3]}),
    ("ReduceL2", 11, X, [], {"axes": [1]}),
    ("Flatten", 11, X, [], {}),
    ("Flatten", 11, X, [], {"axis": -1}),
    ("Flatten", 11, X, [], {"axis": 0}),
    ("Reshape", 11, X, [ints(0, -1, 3)], {}),
    ("Transpose", 11, X, [], {"perm": [0, 2, 3, 1]}),
    ("Transpose", 11, X, [], {}),
    ("Squeeze", 11, (2, 1, 3, 1), [], {"axes": [3]}),
    ("Squeeze", 13, (2, 1, 3, 1), [ints(1, -1)], {}),
    ("Squeeze", 13, (2, 1, 3, 1), [], {}),
    ("Unsqueeze", 11, (2, 3), [], {"axes": [0, 3]}),
    ("Unsqueeze", 13, (2, 3), [ints(-1, 1)], {}),
    ("Concat", 11, X, [rand(2, 4, 7, 1)], {"axis": -1}),
    ("Split", 11, X, [], {"axis": 1, "split": [1, 3]}),
    ("Split", 11, X, [], {"axis": 1}),
    ("Split", 13, X, [ints(3, 6)], {"axis": 3}),
    ("Split", 18, X, [], {"axis": 3, "num_outputs": 2}),
    ("Slice", 9, X, [], {"starts": [1, 0], "ends": [3, -2], "axes": [1, 3]}),
    ("Slice", 11, X, [ints(1, -4), ints(2**63 - 1, 9), ints(2, -1), ints(2, 1)], {}),
    ("Slice", 11, X, [ints(1), ints(2)], {}),
    ("Gather", 11, X, [ints(2, -1, 0)], {"axis": 1}),
    ("Gather", 11, X, [np.array(-2)], {"axis": 2}),
    ("Expand", 11, (2, 1, 3), [ints(2, 4, 1)], {}),
    ("DepthToSpace", 11, (2, 12, 3, 5), [], {"blocksize": 2}),
    ("DepthToSpace", 11, (2, 12, 3, 5), [], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", 11, (2, 3, 4, 6), [], {"blocksize": 2}),
    ("Tile", 11, (2, 3), [ints(2, 2)], {}),
    ("Cast", 11, X, [], {"to": TensorProto.INT32}),
    ("Pad", 2, X, [], {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 2.0}),
    ("Pad", 11, X, [ints(0, 1, 1, -1, 0, 0, 3, 2), np.float32(1.5)], {}),
    ("Pad", 11, X, [ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "reflect"}),
    ("Pad", 11, X, [ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "edge"}),
    ("Pad", 18, X, [ints(1, 2, 3, 4), np.float32(0), ints(2, -1)], {}),
    ("Resize", 11, X, [rand(0), rand(0), ints(2, 4, 14, 5)], {"mode": "linear"}),
    ("Resize", 13, X, [None, None, ints(2, 4, 8, 8)],
     {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ("Resize", 11, X, [rand(0), np.float32([1, 1, 2, 3])],
     {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
]  # fmt: skip


def graph(name, opset, constants, attributes, outputs=1):
    """One node, its first input the picture."""
    names = ["x", *(f"c{i}" if value is not None else "" for i, value in enumerate(constants))]
    made = [f"y{i}" for i in range(outputs)]
    arrays = [
        numpy_helper.from_array(np.asarray(value), key) for key, value in zip(names[1:], constants, strict=True) if key
    ]
    value_info = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    nodes = [helper.make_node(name, names, made, **attributes)]
    gives = [helper.make_empty_tensor_value_info(key) for key in made]
    return helper.make_model(
        helper.make_graph(nodes, "one", value_info, gives, arrays),
        opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 21 else 10,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[4]}")
def test_gives_what_onnx_runtime_gives(case):
    name, opset, shape, constants, attributes = case
    outputs = 2 if name == "Split" else 1
    model = graph(name, opset, constants, attributes, outputs)
    x = rand(*shape)
    wanted = [f"y{i}" for i in range(outputs)]
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    module = OnnxModule(model, wanted, shape)
    for found, answer, key in zip(module(torch.from_numpy(x)), expected, wanted, strict=True):
        np.testing.assert_allclose(found.numpy(), answer, rtol=1e-4, atol=1e-5)
        assert module.shapes[key] == answer.shape, "what the dry run foresaw"


@pytest.mark.parametrize(("name", "where"), [("Sqrt", abs), ("Log", abs)])
def test_operators_of_positive_numbers(name, where):
    x = where(rand(*X)) + 0.1
    [found] = OnnxModule(graph(name, 11, [], {}), ["y0"], X)(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), {"Sqrt": np.sqrt, "Log": np.log}[name](x), rtol=1e-6)


@pytest.mark.parametrize("name", ["Equal", "Greater", "Less"])
def test_comparisons_choose(name):
    x, y = np.round(rand(*X)), np.round(rand(*X[1:]))
    arrays = [numpy_helper.from_array(y, "y"), numpy_helper.from_array(np.float32(7), "seven")]
    nodes = [helper.make_node(name, ["x", "y"], ["is"]), helper.make_node("Where", ["is", "x", "seven"], ["out"])]
    takes = [helper.make_tensor_value_info("x", TensorProto.FLOAT, X)]
    gives = [helper.make_tensor_value_info("out", TensorProto.FLOAT, X)]
    model = helper.make_model(
        helper.make_graph(nodes, "choose", takes, gives, arrays), opset_imports=[helper.make_opsetid("", 13)]
    )
    function = {"Equal": np.equal, "Greater": np.greater, "Less": np.less}[name]
    [found] = OnnxModule(model, ["out"], X)(torch.from_numpy(x))
    np.testing.assert_array_equal(found.numpy(), np.where(function(x, y), x, np.float32(7)))


def test_dropout_does_nothing():
    x = rand(*X)
    [found] = OnnxModule(graph("Dropout", 12, [np.float32(0.5), np.array(False)], {}), ["y0"], X)(torch.from_numpy(x))
    np.testing.assert_array_equal(found.numpy(), x)


def test_every_operator_has_a_case():
    others = {"Sqrt", "Log", "Equal", "Greater", "Less", "Where", "Dropout"}
    assert {name for name, *_ in CASES} | others == set(OPERATORS)


@pytest.mark.parametrize(
    ("name", "opset", "constants", "attributes", "said"),
    [
        ("Slice", 11, [ints(-1), ints(-9), ints(1), ints(-1)], {}, "'Slice' with a negative step"),
        ("Pad", 11, [ints(0, 1, 0, 0, 0, 0, 0, 0)], {"mode": "reflect"}, "mode 'reflect' for batch or channels"),
        ("Pad", 19, [ints(0, 0, 1, 0, 0, 0, 0, 0)], {"mode": "wrap"}, "mode 'wrap'"),
        ("MaxPool", 11, [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "ceil_mode": 1}, "uneven pads"),
        ("AveragePool", 19, [], {"kernel_shape": [2, 2], "dilations": [2, 2]}, "dilations"),
        ("GroupNormalization", 18, [rand(2), rand(2)], {"num_groups": 2}, "before operator set 21"),
        ("Resize", 11, [rand(0), np.float32([1, 1, 0.7, 1])], {"mode": "linear"}, "no whole sizes"),
        ("Resize", 11, [rand(0), np.float32([1, 1, 2, 1])], {"mode": "cubic"}, "mode 'cubic'"),
        ("Resize", 11, [rand(0), np.float32([1, 2, 2, 1])], {"mode": "linear"}, r"to \[2, 8, 14, 9\]"),
        ("Resize", 18, [None, np.float32([1, 1, 2, 1])], {"mode": "linear", "antialias": 1}, "antialias"),
    ],
)  # fmt: skip
def test_what_a_function_does_not_do_is_said(name, opset, constants, attributes, said):
    with pytest.raises(UnsupportedOperator, match=said):
        OnnxModule(graph(name, opset, constants, attributes), ["y0"], X)
