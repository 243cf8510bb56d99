"""Use the installed wheel as a stranger would: outside the checkout, in a clean environment."""

import subprocess
import sys
import sysconfig
from importlib.metadata import files
from pathlib import Path

import gymnasium as gym

import srvp_world
from srvp_world.data.moving_mnist import test_set

SITE = Path(sysconfig.get_path("purelib"))


def main() -> None:
    """Fail unless only `srvp_world` was installed, world, digits and command work."""
    assert Path(srvp_world.__file__).parent == SITE / "srvp_world", srvp_world.__file__
    tops = {path.parts[0] for path in files("srvp-world") or [] if path.suffix == ".py"}
    assert tops == {"srvp_world"}, f"the wheel installs {sorted(tops)}"

    env = gym.make("SRVPDream-v0")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()

    assert test_set(stochastic=True, length=2, videos=1).any(), "the digits are missing"

    command = Path(sys.executable).with_name("srvp-world")
    subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)


main()
