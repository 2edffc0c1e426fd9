"""torch's default type decides about nothing that this package makes."""

from __future__ import annotations

import ast
from pathlib import Path

import lfdm_diffusers

PACKAGE = Path(lfdm_diffusers.__file__).parent
MAKERS = {"empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randn", "randn_tensor", "zeros"}
# Weights have torch's default type, as those of all modules; of an empty tensor its device alone is asked.
ALLOWED = {
    "null_text_embed = nn.Parameter(torch.randn(1, text_embed_dim))",
    "no_text = nn.Parameter(torch.randn(1, 1, text_dim))",
    "torch.empty(0",
}


def test_every_tensor_says_its_type():
    silent = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "import torch" not in text:
            continue
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or any(keyword.arg == "dtype" for keyword in node.keywords):
                continue
            call = node.func
            name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
            of_torch = isinstance(call, ast.Attribute) and getattr(call.value, "id", "") == "torch"
            line = lines[node.lineno - 1]
            if (of_torch or name == "randn_tensor") and name in MAKERS and not any(part in line for part in ALLOWED):
                silent.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {line.strip()}")
    assert silent == []
