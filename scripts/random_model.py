"""Export a preset's network with random weights of a fixed seed, for measurements that need no trained model.

python scripts/random_model.py --preset cifar10 --out cifar10.onnx
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from tiny_unet import tiny_card, tiny_unet

from ddpm_export.onnx_export import ExportOptions, export_onnx
from ddpm_ref.recipe import load_preset


def random_model(preset, path, network=None):
    """Export the network of a preset with random weights, those of `network` if it is given; returns `path`."""
    config = load_preset(preset).model
    card = tiny_card(config, f"{preset}, random weights")
    export_onnx(network or tiny_unet(config=config), card, path, ExportOptions(threads=1))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="cifar10", help="mnist, cifar10")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    random_model(asked.preset, asked.out)


if __name__ == "__main__":
    main()
