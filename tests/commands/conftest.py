import signal
from types import SimpleNamespace

import pytest
from command import COLLECT, ENVS, SMALL, files, run

from srvp_world.agents.policy import LatentPolicy, PolicyConfig
from srvp_world.checkpoint import load


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Data, a run and a policy, all made through the command where it can."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ENVS))
        kwargs = '--env-kwargs \'{"length": 8, "ending": "truncated"}\''
        assert run(f"{COLLECT} {kwargs} --out {folder}/data --episodes 4") == 0
        assert run(f"train {folder}/data --out {folder}/run {SMALL}") == 0
        world = load(folder / "run" / "world.safetensors")
        config = PolicyConfig(
            feature_dim=world.model.feature_dim,
            hidden=(4,),
            activation="tanh",
            action=world.action,
            world=world.fingerprint,
        )
        policy = LatentPolicy(config).save(folder / "policy.safetensors")
        yield SimpleNamespace(
            root=folder,
            data=folder / "data",
            run=folder / "run",
            world=folder / "run" / "world.safetensors",
            policy=policy,
        )


@pytest.fixture
def refused(shop, tmp_path, capfd):
    """Run a command line that must be refused; check how, and give the line that says why."""

    def check(line, *words):
        before = files(shop.root) | files(tmp_path)
        capfd.readouterr()
        code = run(line)
        stdout, stderr = capfd.readouterr()
        assert (code, stdout) == (2, "")
        assert stderr.startswith("srvp-world: ") and len(stderr.splitlines()) == 1, stderr
        for word in words:
            assert str(word) in stderr
        after = files(shop.root) | files(tmp_path)
        assert before.items() <= after.items()
        return stderr

    return check


@pytest.fixture
def terminal():
    """Let Ctrl-C interrupt, also where the tests run in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
