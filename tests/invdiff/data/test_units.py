import numpy as np
import pytest

from invdiff.data import MU_WATER, hu_to_mu, mu_to_hu


def test_water_and_air():
    hu = np.array([0, -1000, 1000], np.float32)
    mu = hu_to_mu(hu)
    np.testing.assert_allclose(mu, [0.0193, 0, 0.0386], rtol=1e-6)
    assert mu.dtype == np.float32


def test_below_air_attenuates_nothing():
    np.testing.assert_array_equal(hu_to_mu(np.array([-1001.0, -3024.0])), 0)


def test_round_trip_above_air():
    hu = np.linspace(-1000, 3000, 50)
    np.testing.assert_allclose(mu_to_hu(hu_to_mu(hu, 0.02), 0.02), hu, atol=1e-9)


def test_negative_attenuation_is_not_clipped():
    assert mu_to_hu(np.array(-MU_WATER)) == pytest.approx(-2000)


@pytest.mark.parametrize("mu_water", [0.0, -1.0, np.nan])
def test_wrong_water_is_refused(mu_water):
    with pytest.raises(ValueError, match="mu_water"):
        hu_to_mu(np.zeros(1), mu_water)
    with pytest.raises(ValueError, match="mu_water"):
        mu_to_hu(np.zeros(1), mu_water)
