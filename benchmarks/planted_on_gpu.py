"""A slow kernel planted in the experts of a server on a GPU, to see whether a pair with profiles names it.

    python benchmarks/planted_on_gpu.py DIR [--cycles N]

DIR becomes a checkout whose commit has the recipe qwen3moe-layers-h100 with one point (16 at once) and a vehicle that does nothing, and whose
working tree lets that vehicle start one more kernel in every layer with experts, which only waits. Then, on a machine with an H100:

    ./servematrix run qwen3moe-layers-h100 --tree DIR --pair HEAD --no-confirm --profile decode --environment ENVIRONMENT

One run on an H100 is in tests/golden/h100/planted; `tests/utils/node/test_real_reason.py` does the same on a CPU.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "qwen3moe-layers-h100"
CYCLES = 200_000
"""About 0.1 ms of an H100 at 1.98 GHz; 24 layers have experts."""
PLUGIN = '''"""What vLLM calls when it loads the vehicle: a kernel that only waits, before each layer's experts."""

CYCLES = 0


def register():
    """Wrap the experts; a second call does nothing."""
    import torch
    from vllm.model_executor.layers.fused_moe.experts.triton_moe import TritonExperts

    original = TritonExperts.apply
    if CYCLES and not hasattr(original, "waits"):
        def apply(*args, **kwargs):
            torch.cuda._sleep(CYCLES)
            return original(*args, **kwargs)

        apply.waits = True
        TritonExperts.apply = apply
'''


def plant(root: Path, cycles: int) -> None:
    """Make the checkout."""
    for folder in ("recipes", "kernels", "requirements"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "results"))
    recipe = root / f"recipes/{NAME}.yaml"
    text = recipe.read_text().replace("concurrency: [16, 64]", "concurrency: 16")
    recipe.write_text(text.replace("serve:\n", "vehicle: planted\nserve:\n", 1))
    plugin = root / "kernels/vehicles/planted/plugin.py"
    plugin.parent.mkdir()
    (plugin.parent / "__init__.py").write_text(
        '"""A test vehicle: one more kernel in every layer with experts."""\n'
    )
    plugin.write_text(PLUGIN)
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "init", "-qb", "main", str(root)], check=True)
    for command in (["add", "-A"], ["commit", "-qm", "nothing planted"]):
        subprocess.run([*git, *command], check=True)
    plugin.write_text(PLUGIN.replace("CYCLES = 0", f"CYCLES = {cycles}"))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, metavar="DIR", help="a folder that does not exist yet")
    parser.add_argument(
        "--cycles", type=int, default=CYCLES, help=f"of the GPU's clock, a layer (default: {CYCLES})"
    )
    arguments = parser.parse_args()
    plant(arguments.root, arguments.cycles)


if __name__ == "__main__":
    main()
