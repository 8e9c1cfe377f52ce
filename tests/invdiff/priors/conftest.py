import pytest
from diffusers import DDPMScheduler, EDMEulerScheduler, UNet2DModel


@pytest.fixture
def make_folder(tmp_path):
    """Save a tiny random network with a scheduler, as diffusers would."""

    def make(scheduler=None, *, channels=1, learned_variance=False):
        network = UNet2DModel(
            sample_size=16,
            in_channels=channels,
            out_channels=channels * (2 if learned_variance else 1),
            block_out_channels=(8, 8),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
        )
        network.save_pretrained(tmp_path / "unet")
        (scheduler or EDMEulerScheduler()).save_pretrained(tmp_path / "scheduler")
        return tmp_path

    return make


@pytest.fixture(params=["epsilon", "v_prediction", "sample"])
def ddpm(request):
    return DDPMScheduler(
        num_train_timesteps=200,
        beta_schedule="squaredcos_cap_v2",
        prediction_type=request.param,
        clip_sample=False,
    )
