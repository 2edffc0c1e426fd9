"""A small stand-in for what `comfyui/nodes.py` uses of ComfyUI: its V3 interface, and the progress bar.

It knows the arguments that ComfyUI's own classes take, and refuses others, as they do; and it runs a node as ComfyUI's executor does:
inputs by their ids, open ones by their defaults, in inference mode, a fresh class each time.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import torch


class Socket:
    def __init__(self, id=None, display_name=None, optional=False, tooltip=None, is_output_list=False, **widget):
        self.id, self.display_name, self.optional = id, display_name, optional
        self.tooltip, self.is_output_list, self.widget = tooltip, is_output_list, widget


def io_type(name: str, *widget: str, options: bool = False) -> SimpleNamespace:
    """`io.Float` and its like: `Input` and `Output` of a type of that name, whose inputs take these arguments more."""

    class Input(Socket):
        io_type = name

        def __init__(self, id: str, display_name=None, optional=False, tooltip=None, **given):
            if unknown := set(given) - {*widget, *(("default",) if widget else ())}:
                raise TypeError(f"{name} input {id!r} takes no {sorted(unknown)}")
            if options and given.get("default") not in given["options"]:
                raise ValueError(f"default of {id!r} is none of its options")
            super().__init__(id, display_name, optional, tooltip, **given)

    class Output(Socket):
        io_type = name

        def __init__(self, id=None, display_name=None, tooltip=None, is_output_list=False):
            super().__init__(id, display_name, False, tooltip, is_output_list)

    return SimpleNamespace(Input=Input, Output=Output)


@dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    description: str = ""

    def validate(self) -> None:
        ids = [socket.id for socket in (*self.inputs, *self.outputs) if socket.id is not None]
        if len(ids) != len(set(ids)):
            raise ValueError(f"ids must be unique between inputs and outputs: {ids}")


class NodeOutput:
    def __init__(self, *args: Any):
        self.args = args


class ComfyNode:
    pass


class ComfyExtension:
    pass


class ProgressBar:
    shown: list[tuple[int, int]] = []

    def __init__(self, total: int):
        self.total = total

    def update_absolute(self, value: int) -> None:
        self.shown.append((value, self.total))


def comfy_modules() -> dict[str, ModuleType]:
    """For `sys.modules`."""
    modules = {name: ModuleType(name) for name in ("comfy", "comfy.utils", "comfy_api", "comfy_api.latest")}
    modules["comfy.utils"].ProgressBar = ProgressBar
    modules["comfy_api.latest"].ComfyExtension = ComfyExtension
    modules["comfy_api.latest"].io = SimpleNamespace(
        ComfyNode=ComfyNode,
        Schema=Schema,
        NodeOutput=NodeOutput,
        Custom=io_type,
        Image=io_type("IMAGE"),
        Mask=io_type("MASK"),
        String=io_type("STRING", "multiline", "placeholder"),
        Boolean=io_type("BOOLEAN", "label_on", "label_off"),
        Int=io_type("INT", "min", "max", "step", "control_after_generate"),
        Float=io_type("FLOAT", "min", "max", "step", "round"),
        Combo=io_type("COMBO", "options", options=True),
    )
    return modules


def run_node(node: type[ComfyNode], **linked: Any) -> Any:
    """The outputs of a node, the one of several if it has one."""
    schema = node.define_schema()
    schema.validate()
    inputs = {socket.id: socket for socket in schema.inputs}
    assert list(inspect.signature(node.execute).parameters) == list(inputs)
    given = {name: socket.widget["default"] for name, socket in inputs.items() if "default" in socket.widget} | linked
    missing = [name for name, socket in inputs.items() if name not in given and not socket.optional]
    assert not missing and not set(given) - set(inputs), (missing, set(given) - set(inputs))
    for name, value in given.items():
        limits = inputs[name].widget
        assert limits.get("min", value) <= value <= limits.get("max", value) if "min" in limits else True
        assert value in limits.get("options", [value])
    with torch.inference_mode():
        outputs = type(node.__name__, (node,), {}).execute(**given).args
    assert len(outputs) == len(schema.outputs)
    assert all(isinstance(out, list) for out, socket in zip(outputs, schema.outputs) if socket.is_output_list)
    return outputs[0] if len(outputs) == 1 else outputs
