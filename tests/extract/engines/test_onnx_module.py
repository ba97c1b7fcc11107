import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from extract.engines.onnx_module import OnnxModule, UnsupportedOperator
from extract.runtime.errors import InputError

SHAPE = (2, 3, 8, 6)


def model(nodes, constants=None, outputs=("y",), kind=TensorProto.FLOAT, opset=13):
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(name, takes, gives, **attributes) for name, takes, gives, attributes in nodes],
            "graph",
            [helper.make_tensor_value_info("x", kind, None)],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )


def picture(dtype=np.float32):
    return np.random.default_rng(0).normal(size=SHAPE).astype(dtype)


def same_as_onnx_runtime(graph, wanted=("y",), shape=SHAPE):
    x = picture()
    expected = onnxruntime.InferenceSession(graph.SerializeToString()).run(list(wanted), {"x": x})
    module = OnnxModule(graph, list(wanted), shape)
    for found, answer in zip(module(torch.from_numpy(x)), expected, strict=True):
        np.testing.assert_allclose(found.numpy(), answer, rtol=1e-5, atol=1e-6)
    return module


DYNAMIC = [  # what exporters write for x.reshape(x.shape[0], x.shape[1], -1)
    ("Shape", ["x"], ["shape"], {}),
    ("Gather", ["shape", "zero"], ["n"], {}),
    ("Gather", ["shape", "one"], ["c"], {}),
    ("Unsqueeze", ["n", "front"], ["n1"], {}),
    ("Unsqueeze", ["c", "front"], ["c1"], {}),
    ("Concat", ["n1", "c1", "rest"], ["target"], {"axis": 0}),
    ("Reshape", ["x", "target"], ["y"], {}),
]
NUMBERS = {"zero": np.int64(0), "one": np.int64(1), "front": np.int64([0]), "rest": np.int64([-1])}


def test_what_follows_from_the_shape_alone_is_computed_once():
    module = same_as_onnx_runtime(model(DYNAMIC, NUMBERS))
    assert len(module._steps) == 1
    assert module.shapes == {"y": (2, 3, 48)}


def test_part_of_a_shape():
    nodes = [("Shape", ["x"], ["part"], {"start": 1, "end": -1}), ("Concat", ["minus", "part"], ["to"], {"axis": 0}),
             ("Reshape", ["x", "to"], ["y"], {})]  # fmt: skip
    module = same_as_onnx_runtime(model(nodes, {"minus": np.int64([-1])}, opset=15))
    assert module.shapes == {"y": (12, 3, 8)}


def test_bounds_that_are_computed_in_the_graph():
    nodes = [("Constant", [], ["low"], {"value": numpy_helper.from_array(np.float32(-0.5))}),
             ("Neg", ["low"], ["high"], {}), ("Clip", ["x", "low", "high"], ["y"], {})]  # fmt: skip
    assert len(same_as_onnx_runtime(model(nodes))._steps) == 1


def test_several_outputs_one_inside_the_graph():
    nodes = [("Relu", ["x"], ["inner"], {}), ("Flatten", ["inner"], ["y"], {})]
    same_as_onnx_runtime(model(nodes, outputs=("y", "inner")), wanted=("inner", "y"))


def test_nodes_behind_the_wanted_outputs_are_left_out():
    nodes = [("Relu", ["x"], ["y"], {}), ("NoSuchOperator", ["y"], ["tail"], {})]
    module = OnnxModule(model(nodes, outputs=("tail",)), ["y"], SHAPE)
    assert len(module._steps) == 1


def test_values_are_given_back_after_their_last_use():
    nodes = [("Relu", ["x"], ["a"], {}), ("Sigmoid", ["a"], ["b"], {}), ("Add", ["a", "b"], ["c"], {}),
             ("Split", ["c"], ["y", "unused"], {"axis": 2})]  # fmt: skip
    module = same_as_onnx_runtime(model(nodes))
    assert [sorted(step.drop) for step in module._steps] == [[], [], ["a", "b"], ["c", "unused"]]


def test_half_precision_files_take_half_precision_pixels():
    nodes = [("Mul", ["x", "two"], ["half"], {}), ("Cast", ["half"], ["y"], {"to": TensorProto.FLOAT})]
    module = OnnxModule(model(nodes, {"two": np.float16(2)}, kind=TensorProto.FLOAT16), ["y"], SHAPE)
    assert module.dtype == torch.float16
    x = picture(np.float16)
    [found] = module(torch.from_numpy(x))
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), (2 * x).astype(np.float32))


def test_constants_follow_the_module_and_kernels_are_channels_last():
    kernel = np.ones((4, 3, 3, 3), np.float32)
    module = OnnxModule(model([("Conv", ["x", "kernel"], ["y"], {})], {"kernel": kernel}), ["y"], SHAPE)
    [buffer] = module.buffers()
    assert buffer.is_contiguous(memory_format=torch.channels_last)
    assert next(module.to("meta").buffers()).device.type == "meta"


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([("NonMaxSuppression", ["x", "x"], ["y"], {})], "operator 'NonMaxSuppression' is not among"),
        ([("Relu", ["x"], ["y"], {"domain": "com.vendor"})], "operator 'Relu' is not among"),
        ([("VendorMagic", ["one"], ["a"], {"domain": "vendor"}), ("Add", ["x", "a"], ["y"], {})],
         "'VendorMagic' of constants"),
        ([("Flatten", ["x"], ["a"], {}), ("Reshape", ["x", "a"], ["y"], {})], "'Reshape' with an input that depends"),
    ],
)  # fmt: skip
def test_unsupported_operators_are_named(nodes, said):
    with pytest.raises(UnsupportedOperator, match=said):
        OnnxModule(model(nodes, {"one": np.float32(1)}), ["y"], SHAPE)


def test_constants_of_a_kind_that_torch_has_not():
    graph = model([("Add", ["x", "odd"], ["y"], {})])
    graph.graph.initializer.append(helper.make_tensor("odd", TensorProto.STRING, [1], [b"words"]))
    with pytest.raises(UnsupportedOperator, match="constants of type object"):
        OnnxModule(graph, ["y"], SHAPE)


def test_shapes_that_do_not_fit_name_the_node():
    kernel = np.ones((4, 1, 3, 3), np.float32)
    with pytest.raises(InputError, match=r"node 'Conv': .*channel") as found:
        OnnxModule(model([("Conv", ["x", "kernel"], ["y"], {})], {"kernel": kernel}), ["y"], SHAPE)
    assert not isinstance(found.value, UnsupportedOperator)


def test_an_output_that_no_picture_changes_is_refused():
    with pytest.raises(InputError, match="'y' does not depend on the picture"):
        OnnxModule(model([("Neg", ["one"], ["y"], {})], {"one": np.float32(1)}), ["y"], SHAPE)
