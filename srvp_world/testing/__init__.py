"""Checkers for batches of environments, which neither Gymnasium nor Stable-Baselines3 ships.

    from srvp_world.testing import check_sb3_vec_env, check_vector_env

    check_vector_env(gym.make_vec("SRVPDream-v0", num_envs=3, horizon=20))

They play a new env with random actions, close it, and raise an `AssertionError` at the first rule
that it breaks: one line that says what is wrong, and what goes wrong because of it.
"""

from srvp_world.testing.sb3 import check_sb3_vec_env as check_sb3_vec_env
from srvp_world.testing.vector import check_vector_env as check_vector_env
