"""A time that is short is shared out: known answers for machines of known speed."""

from dataclasses import replace

import pytest
from small_runs import SMALL

from srvp_world.agents.pace import Pace, Share, share_out, whole

PACE = Pace(
    real_step=0.0, update=1.0, fit=0.0, dream_step=0.0, decision=0.0, longest=10, dreams=0.0
)
CONFIG = replace(
    SMALL,
    rounds=3,
    train=replace(SMALL.train, iterations=100),
    later_updates=50,
    dream_steps=1000,
)


def shared(seconds, index=0, pace=PACE, collected=True, config=CONFIG, repeat=1):
    return share_out(config, pace, index, seconds / 0.9, repeat=repeat, collected=collected)


def test_enough_time_changes_nothing():
    for index in range(3):
        assert shared(1000, index) == whole(CONFIG, index)


def test_rounds_are_cut_alike_and_share_what_there_is():
    assert shared(100) == Share(50, 500)  # half of 100 + 50 + 50 updates
    assert shared(50, 1) == Share(25, 500)
    assert shared(25, 2) == Share(25, 500)


def test_there_are_fewer_rounds_rather_than_none_that_is_worth_it():
    assert shared(48) == Share(32, 320)  # 48 of 150: two rounds
    assert shared(40) == Share(40, 400)  # 40 of 100: one round
    assert shared(14, 2) is None
    assert shared(16, 2) == Share(16, 320)


@pytest.mark.parametrize("seconds", [-5, 0, 0.1])
def test_the_first_round_is_made_however_late_it_is(seconds):
    assert shared(seconds) == Share(1, 1)


def test_time_is_kept_for_what_follows():
    # 2 episodes a round and 3 in the end, of 10 decisions, and 50 decisions to collect.
    scored = replace(PACE, decision=1.0)
    assert shared(100 + 3 * 20 + 30 + 50, pace=scored) == Share(50, 500)
    steps = replace(PACE, real_step=1.0)  # 50 in the first round, 25 in each later one
    assert shared(100 + 50, pace=steps) == Share(50, 500)
    assert shared(100 + 100, pace=steps, collected=False) == Share(50, 500)
    fits = replace(PACE, fit=4.0)
    assert shared(100 + 3 * 4, pace=fits) == Share(50, 500)
    dreams = replace(PACE, dream_step=0.1)  # 100 seconds a round, beside its updates
    assert shared(250, pace=dreams) == Share(50, 500)


def test_workers_share_episodes_and_take_time_to_start():
    pace = replace(PACE, decision=1.0, dreams=5.0)
    assert pace.evaluation(CONFIG, final=True) == 30 + 5
    assert pace.evaluation(replace(CONFIG, workers=2), final=True) == 20 + 5 + 10


def test_later_rounds_are_collected_for_by_an_agent_that_may_be_slower_than_random_play():
    thinks = replace(PACE, real_step=0.1, decision=2.0, longest=0)
    for collected, first in ((True, 0), (False, 50 * 0.1)):
        assert shared(100 + first + 50 * 2, pace=thinks, collected=collected) == Share(50, 500)
    two = replace(CONFIG, workers=2)  # 3 rounds and the end, for each of which they have to start
    assert shared(100 + 50 * 2 / 4 + 40, pace=thinks, config=two, repeat=2) == Share(50, 500)
    assert shared(100 + 50 * 0.1, pace=replace(thinks, decision=0.05)) == Share(50, 500)


def test_episodes_are_watched_before_agents_learn_and_before_each_score():
    assert shared(100 + 3 * 2 * 4 + 4, pace=replace(PACE, watching=4.0)) == Share(50, 500)


def test_a_planner_dreams_more_in_the_end_and_others_as_much_as_always():
    dreams = replace(PACE, dreams=4.0)  # of 2 episodes, and 3 in the end
    assert shared(100 + 3 * 4 + 4, pace=dreams) == Share(50, 500)
    planner = replace(CONFIG, agent="cem")
    assert shared(100 + 3 * 4 + 6, pace=dreams, config=planner).updates == 50


def test_planners_have_nothing_to_learn():
    assert whole(replace(CONFIG, agent="cem"), 0) == Share(100, 0)
