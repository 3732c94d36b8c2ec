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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="cifar10", help="mnist, cifar10")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    config = load_preset(asked.preset).model
    card = tiny_card(config, f"{asked.preset}, random weights")
    export_onnx(tiny_unet(config=config), card, asked.out, ExportOptions(threads=1))


if __name__ == "__main__":
    main()
