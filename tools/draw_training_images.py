"""Draw the pictures of docs/training.md: its code runs in a temporary folder, and what it draws is kept.

python tools/draw_training_images.py
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from PIL import Image

PAGE = Path(__file__).resolve().parents[1] / "docs/training.md"
IMAGES = ("gradients.png",)


def main() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    needed = [k for k, text in enumerate(blocks) if any(name in text for name in IMAGES)]
    scope: dict[str, object] = {"__name__": "page"}
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for text in blocks[: max(needed) + 1]:
                exec(compile(text, PAGE.name, "exec"), scope)
            for name in IMAGES:
                # A palette is enough for lines and letters, and a third of the size.
                Image.open(name).convert("RGB").quantize(64).save(PAGE.parent / "images" / name, optimize=True)
        finally:
            os.chdir(home)


if __name__ == "__main__":
    main()
