"""Runs each op of a graph in NumPy, and compares what it makes with what the engine made."""

import json
import sys

sys.path.insert(0, ".")
import numpy as np
import score

np.seterr(all="ignore")
graph = json.load(open("graph.json"))
given, constants, expected = (score.load(f"{name}.safetensors") for name in ("given", "constants", "expected"))
for node in graph["nodes"]:
    made = score.run(node, [given[str(tensor)] for tensor in node["inputs"]], constants)
    assert len(made) == len(node["outputs"]), node
    for array, tensor in zip(made, node["outputs"]):
        want, array = expected[str(tensor)], np.asarray(array)
        assert array.shape == want.shape and array.dtype == want.dtype, (node, array, want)
        near = np.allclose(array.astype(np.float64), want.astype(np.float64), rtol=2e-5, atol=2e-5, equal_nan=True)
        assert near, (node, array, want)
assert len(graph["nodes"]) > 100
