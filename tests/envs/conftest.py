import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # where `counter_world` is, for spawned workers too
