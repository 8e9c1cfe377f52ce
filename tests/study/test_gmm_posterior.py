"""The study of the Gaussian mixture: what it measures and writes."""

import json

import pytest
import yaml

from invdiff.samplers import Samples
from invdiff.study.cli import main
from invdiff.study.laboratory.gmm_posterior import GMMPosterior
from invdiff.study.laboratory.mixture_runs import Setting


class Exact:
    """A sampler that knows the answer, moved by ``shift``."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def sample(self, likelihood, denoiser, num_samples, *, generator):
        values = denoiser.posterior(likelihood).sample(num_samples, generator=generator)
        equal = values.new_zeros(num_samples).log_softmax(0)
        return Samples(values + self.shift, equal)


def test_exact_samples_are_at_the_floor_and_shifted_ones_are_not():
    setting = Setting(8, 4, instances=4, seed=5)
    floors = setting.floors()["distances"]
    exact = setting.run(Exact(), 1000, "exact")["distances"] / floors
    # the largest of few distances to modes of random weight: a factor of two either way
    assert (exact < 2.5).all()
    assert exact.mean() < 1.6
    # along the direction nearest to that of all coordinates, about 10 of the 28
    assert (setting.run(Exact(10.0), 1000, "shifted")["distances"] > 10).all()


def test_the_stream_of_a_sampler_is_its_label():
    setting = Setting(8, 1, instances=1, seed=0)
    first, second, again = (setting.run(Exact(), 1000, name)["cloud"] for name in "aba")
    assert (first == again).all()
    assert not (first == second).all()


def test_writes_a_table_of_every_setting(tmp_path, capsys):
    path, out = tmp_path / "small.yaml", tmp_path / "out"
    sampler = {"kind": "afdps", "num_steps": 10, "sigma_max": 6.0, "prior_std": 0.05}
    study = {
        "kind": "gmm-posterior",
        "instances": 1,
        "dims": [8],
        "measured": [1, 4],
        "samplers": [{"sampler": sampler}],
    }
    path.write_text(yaml.safe_dump(study))
    assert main(["run", str(path), "--out", str(out)]) == 0
    capsys.readouterr()
    metrics = json.loads((out / "metrics.json").read_text())
    for setting in ("8_1", "8_4"):
        ratio = metrics[f"max_sw2_afdps_{setting}"] / metrics[f"floor_max_sw2_{setting}"]
        assert metrics[f"ratio_afdps_{setting}"] == pytest.approx(ratio)
        assert metrics[f"worst_ratio_afdps_{setting}"] == pytest.approx(ratio)
        assert 0 < metrics[f"min_ess_afdps_{setting}"] <= 1
    assert {path.name for path in out.glob("*.png")} == {"ratios.png", "clouds.png"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dims": [7]}, "even"),
        ({"measured": [9], "dims": [8]}, "expected 1 to 8"),
        ({"samplers": [{"sampler": {"kind": "afdps"}}] * 2}, "at most once"),
        ({"samplers": [{"sampler": {"kind": "afdps"}, "num_samples": 10}]}, "at least 1000"),
    ],
)
def test_refuses_what_it_cannot_compare(values, message):
    samplers = {"samplers": [{"sampler": {"kind": "afdps"}}]}
    with pytest.raises(ValueError, match=message):
        GMMPosterior(**(samplers | values))


def test_columns_may_leave_out_dimensions():
    study = GMMPosterior(samplers=[{"sampler": {"kind": "afdps"}, "num_samples": {8: 2000}}])
    assert study.samplers[0].count(8) == 2000
    assert study.samplers[0].count(80) is None
