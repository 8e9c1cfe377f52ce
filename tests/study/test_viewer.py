"""Pages of volumes: nothing from the net, what they hold, and how a browser shows it."""

import base64
import gzip
import json
import shutil
import subprocess
from collections import defaultdict
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest

from invdiff.data import Image, write_nifti
from invdiff.study.viewer import Layer, write_viewer

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WINDOW = (-160.0, 240.0)
# odd, so that the crosshair begins in the middle of a voxel
SHAPE = (5, 11, 9)
AFFINE = np.array([[-1.5, 0, 0, 20], [0, -1.25, 0, 30.25], [0, 0, 3, -7], [0, 0, 0, 1.0]])


class Page(HTMLParser):
    """The elements of a page, what they refer to, and the text directly in them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.addresses, self.scripts, self.body = [], [], [], {}
        self.texts = defaultdict(list)
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.texts[tag].append("")
        names = ("src", "href", "srcset", "action", "data", "poster")
        self.addresses += [attributes[name] for name in names if name in attributes]
        if tag == "script":
            self.scripts.append(attributes)
        if tag == "body":
            self.body = attributes

    def handle_data(self, text):
        # what follows an element belongs to it here, which matters for space alone
        if self.tags:
            self.texts[self.tags[-1]][-1] += text.strip()

    def scripts_with(self, name, value):
        pairs = zip(self.scripts, self.texts["script"], strict=True)
        return [text for attributes, text in pairs if attributes.get(name) == value]

    @property
    def layers(self):
        return json.loads(self.scripts_with("id", "layers")[0])["layers"]

    @property
    def volumes(self):
        stored = map(base64.b64decode, self.scripts_with("class", "volume"))
        return [nib.Nifti1Image.from_bytes(gzip.decompress(content)) for content in stored]


def image(seed=0, low=-1000.0, high=1500.0):
    values = np.random.default_rng(seed).uniform(low, high, SHAPE).astype(np.float32)
    return Image(values, AFFINE)


@pytest.fixture
def page(tmp_path):
    def page(volumes, *, window=WINDOW, unit="HU", title="Volumes"):
        path = write_viewer(
            tmp_path / "volumes.html", volumes, window=window, unit=unit, title=title
        )
        return Page(path.read_text(encoding="utf-8"))

    return page


def test_the_page_asks_for_nothing_from_elsewhere(page):
    found = page({"truth": image()})
    assert found.addresses == []
    assert "url(" not in found.texts["style"][0]
    assert "@import" not in found.texts["style"][0]
    # layers, a volume, the library, the page's own: an end tag in one of them would make more
    assert len(found.scripts) == 4
    assert found.tags.count("link") == 0


def test_the_page_holds_the_licence_of_what_it_passes_on(page):
    text = page({"truth": image()}).texts["template"][0]
    assert "Copyright (c) 2021, Niivue" in text
    assert "BSD 2-Clause License" in text


@pytest.mark.parametrize(
    ("low", "high", "window"),
    [
        (-1000, 1500, WINDOW),
        (0, 0.06, (0.015, 0.025)),
        (-5, 40, (-1e4, 1e4)),
        (7e4, 7e4 + 1, (7e4, 7e4 + 1)),
        (-1000, 30000, WINDOW),
        (3, 3, WINDOW),
    ],
)
def test_volumes_are_within_half_a_step_of_the_input(page, low, high, window):
    original = image(low=low, high=high)
    stored = page({"truth": original}, window=window).volumes[0]
    span = float(original.values.max() - original.values.min())
    step = max(span / 65532, (window[1] - window[0]) / 4096)
    # slope and offset are float32
    rounding = 1e-6 * np.abs(original.values).max()
    error = np.abs(stored.get_fdata().transpose() - original.values).max()
    assert error <= step / 2 + rounding
    assert stored.header.get_data_dtype() == np.int16
    np.testing.assert_allclose(stored.affine, AFFINE)
    assert stored.header.get_zooms() == (1.5, 1.25, 3.0)


def test_zero_stays_zero(page):
    values = image().values.copy()
    values[2] = 0
    stored = page({"truth": Image(values, AFFINE)}).volumes[0].get_fdata().transpose()
    assert (stored[2] == 0).all()


def test_a_file_an_image_and_a_nibabel_image_are_the_same(page, tmp_path):
    original = image()
    write_nifti(original, tmp_path / "volume.nii.gz")
    volumes = {
        "file": tmp_path / "volume.nii.gz",
        "text": str(tmp_path / "volume.nii.gz"),
        "image": original,
        "nibabel": nib.Nifti1Image(original.values.transpose(), AFFINE),
    }
    found = page(volumes)
    assert [layer["title"] for layer in found.layers] == list(volumes)
    assert len(set(found.scripts_with("class", "volume"))) == 1


def test_the_same_volumes_give_the_same_file(page, monkeypatch):
    volumes = {"truth": image(), "error": Layer(image(1), (-50, 50), "error")}
    now = page(volumes).texts
    monkeypatch.setattr("time.time", lambda: 1e9)
    assert page(volumes).texts == now


def test_a_layer_may_have_its_own_window(page):
    found = page({"truth": image(), "error": Layer(image(1), (-50, 50), "error")})
    assert [layer["window"] for layer in found.layers] == [list(WINDOW), [-50, 50]]
    assert [layer["colormap"] for layer in found.layers] == ["gray", "error"]


def test_titles_are_text(page):
    title = '</script><b>a & "b"</b>'
    found = page({title: image()}, title=title, unit="<i>1/mm</i>")
    assert found.layers[0]["title"] == title
    assert found.texts["title"][0] == title
    assert not {"b", "i"} & set(found.tags)


@pytest.mark.parametrize(
    ("volumes", "window", "complaint"),
    [
        ({}, WINDOW, "at least one volume"),
        ({"truth": image()}, (1, 1), "truth: expected a window of two increasing numbers"),
        ({"truth": image()}, (0, float("nan")), "truth: expected a window"),
        ({"error": Layer(image(), (5, -5))}, WINDOW, "error: expected a window"),
        ({"truth": nib.Nifti1Image(np.zeros((2, 2)), AFFINE)}, WINDOW, "truth: .*three dimensions"),
        ({"dps": nib.Nifti1Image(np.full(SHAPE, np.nan), AFFINE)}, WINDOW, "dps: .*not finite"),
        ({"truth": "/no/volume.nii.gz"}, WINDOW, "no such file"),
    ],
)
def test_bad_input_is_refused(page, tmp_path, volumes, window, complaint):
    with pytest.raises(ValueError, match=complaint):
        page(volumes, window=window)
    assert not (tmp_path / "volumes.html").exists()


def browse(address, *options):
    """Open a page in Chromium, drawing in software; return what became of it."""
    words = ["--headless=new", "--no-sandbox", "--window-size=500,400", "--dump-dom"]
    drawing = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    done = subprocess.run(
        [CHROMIUM, *words, *drawing, "--virtual-time-budget=5000", *options, address],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return Page(done.stdout.decode())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
def test_a_browser_shows_the_values(page, tmp_path):
    originals = [image(), image(1)]
    page({"truth": originals[0], "unseen": image(2), "error": Layer(originals[1], (-50, 50))})
    shown = browse((tmp_path / "volumes.html").as_uri() + "#0,2")
    assert "data-error" not in shown.body
    assert shown.body["data-loaded"] == "2"
    centre = tuple(n // 2 for n in SHAPE)
    x, y, z = (AFFINE @ [*centre[::-1], 1])[:3]
    names = ("truth", "error")
    for text, name, original in zip(shown.texts["output"], names, originals, strict=True):
        assert text.startswith(f"{name}: ")
        assert text.endswith(f"HU at the crosshair (x {x:.1f}, y {y:.1f}, z {z:.1f} mm)")
        assert float(text.split()[1]) == pytest.approx(original.values[centre], abs=0.06)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
def test_a_browser_without_webgl_says_so(page, tmp_path):
    page({"truth": image()})
    shown = browse((tmp_path / "volumes.html").as_uri(), "--disable-3d-apis")
    assert shown.body["data-loaded"] == "0"
    assert "no WebGL 2" in shown.body["data-error"]
    assert any("no WebGL 2" in text for text in shown.texts["p"])
