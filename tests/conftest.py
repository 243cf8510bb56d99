import os
import sys
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.append(str(Path(__file__).parent))  # where `worlds` and `oracle` are

import torch

torch.set_num_threads(min(2, torch.get_num_threads()))
