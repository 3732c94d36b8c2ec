"""Compare float16 or bfloat16 graphs of one network: the types of their nodes, and their errors against float32.

    python scripts/compare_autocast.py unet.onnx ours.onnx autocast.onnx

The first file is the float32 export, with the card. The others may come from any tool, such as ModelOpt's AutoCast,
which this script does not need. The errors of one call are those of `ddpm_export/graph/typed_parity.py`, which rounds
every result to its type.
"""

import argparse
import collections
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from chain_psnr import difference
from onnx import TensorProto

import ddpm_rt
from ddpm_export.graph.precision import STATISTICS
from ddpm_export.graph.time_branch import time_nodes
from ddpm_export.graph.typed_parity import LARGEST_VALUE, noised_images, rounded

KINDS = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
TIMES = 17
GROUPS = {
    "normalisations": STATISTICS,
    "softmax": ("Softmax",),
    "sine and cosine of t": ("Sin", "Cos"),
    "resize": ("Resize",),
}


class Graph:
    """A denoiser that runs the file in ONNX Runtime, either unchanged or with every result rounded."""

    def __init__(self, model, card, *, exact_types, threads):
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, threads
        if exact_types:
            model = rounded(model)
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
        self.card, self.largest = card, 0.0
        self.outputs = [card.names["out"], *([LARGEST_VALUE] if exact_types else [])]

    def __call__(self, x, t):
        out, *largest = self.session.run(self.outputs, {self.card.names["x"]: x, self.card.names["t"]: t})
        self.largest = max(self.largest, *map(float, largest), 0.0)
        return out


def types(model, t):
    """Counts as text: nodes by output type, casts, and the sensitive nodes that are float32."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    kind = {node.output[0]: KINDS.get(known.get(node.output[0])) for node in model.graph.node}
    counts = collections.Counter(filter(None, kind.values()))
    casts = sum(node.op_type == "Cast" for node in model.graph.node)
    rows = {"nodes": ", ".join(f"{counts[name]} {name}" for name in sorted(counts)), "casts": str(casts)}
    embedding = [node for node in time_nodes(model.graph, t) if kind[node.output[0]]]
    groups = {name: [n for n in model.graph.node if n.op_type in kinds] for name, kinds in GROUPS.items()}
    for name, nodes in (groups | {"time embedding": embedding}).items():
        high = sum(kind[node.output[0]] == "fp32" for node in nodes)
        rows[f"float32 of {name}"] = f"{high} of {len(nodes)}" if nodes else "none there"
    return rows


def errors(graph, exact):
    """The RMS error of one call at several timesteps, as a share of the RMS of the exact output."""
    times = np.linspace(0, len(exact.card.betas) - 1, TIMES).round().astype(np.int64)
    shares, largest = [], 0.0
    for x, t in zip(noised_images(exact.card, times), times, strict=True):
        expected, found = (call(x[None], np.array([t])) for call in (exact, graph))
        off = found.astype(np.float64) - expected
        shares.append(float(np.sqrt((off**2).mean() / (expected.astype(np.float64) ** 2).mean())))
        largest = max(largest, float(np.abs(off).max()))
    return times, shares, largest


def chains(model, exact, threads, asked):
    """The PSNR of DDIM's pictures against float32: unchanged in ONNX Runtime, and with every result rounded."""
    options = {"sampler": "ddim", "steps": asked.steps, "count": asked.count, "batch": asked.count}
    expected = ddpm_rt.sample(exact, **options)
    for name, exact_types in (("in ONNX Runtime", False), ("rounded", True)):
        try:
            graph = Graph(model, exact.card, exact_types=exact_types, threads=threads)
            figures = difference(ddpm_rt.sample(graph, **options), expected)
            names = {"psnr": "", "worst_psnr": ", worst image ", "inside_psnr": ", inside (-1, 1) "}
            yield name, "".join(f"{text}{figures[key]:.1f}" for key, text in names.items())
        except Exception as error:  # bfloat16 has no convolution there
            yield name, f"does not run: {str(error).splitlines()[0][:80]}"


def column(path, exact, asked):
    """All rows of the table for one file."""
    model, card = onnx.load(path), exact.card
    rows = {"file, MB": f"{path.stat().st_size / 1e6:.2f}", **types(model, card.names["t"])}
    graph = Graph(model, card, exact_types=True, threads=asked.threads)
    times, shares, largest = errors(graph, exact)
    rows["largest value"], rows["one call, largest error"] = f"{graph.largest:.4g}", f"{largest:.2e}"
    rows |= {f"one call, error at t = {t}": f"{100 * share:.3f} %" for t, share in zip(times, shares, strict=True)}
    for name, text in chains(model, exact, asked.threads, asked):
        rows[f"ddim {asked.steps}, {name}, PSNR in dB"] = text
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path, help="the export in fp32, not hoisted")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    exact = ddpm_rt.open_denoiser(asked.reference, threads=asked.threads)
    columns = [column(path, exact, asked) for path in asked.files]
    print(f"| {exact.card.provenance.source} | " + " | ".join(path.name for path in asked.files) + " |")
    print("| --- " * (len(columns) + 1) + "|")
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(rows[name] for rows in columns) + " |")


if __name__ == "__main__":
    main()
