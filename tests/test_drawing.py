"""Plots of attention: fonts, and texts as they stand."""

import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from unroll.serving import drawing
from unroll.serving.drawing import draw_alignment
from unroll.serving.fonts import fonts_for


def write_font(path, family, characters):
    """Writes a font whose characters are all a square."""
    pen = TTGlyphPen(None)
    for number, corner in enumerate([(100, 0), (100, 700), (800, 700), (800, 0)]):
        (pen.lineTo if number else pen.moveTo)(corner)
    pen.closePath()
    names = [".notdef", *(f"u{ord(character):04X}" for character in characters)]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(character): f"u{ord(character):04X}" for character in characters})
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (900, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, sTypoDescender=-200)
    font.setupPost()
    font.save(path)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Fonts that were installed after matplotlib's cache was made; one of the files is none."""
    write_font(tmp_path / "han.ttf", "Test Han", "犬猫")
    write_font(tmp_path / "deva.ttf", "Test Deva", "एक犬")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    paths = [str(path) for path in tmp_path.glob("*.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: paths)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])


@pytest.mark.parametrize(
    ("texts", "families", "missing"),
    [
        (["Hund", "été", "собака", "$5"], [], ""),
        (["犬", "dog"], ["Test Deva"], ""),
        (["犬", "猫"], ["Test Han"], ""),
        (["犬猫", "एक"], ["Test Deva", "Test Han"], ""),
        (["एक", "\U00012000\U00012001 "], ["Test Deva"], "\U00012000\U00012001"),
        ([], [], ""),
    ],
)
def test_fonts_have_the_characters(installed, texts, families, missing):
    found = fonts_for(texts)
    assert found.families[1:] == families
    assert found.missing == missing


def drawn_texts(monkeypatch):
    """Keeps the figure of the next plot instead of saving it alone."""
    figures = []
    save = drawing._save

    def keep(figure, path):
        figures.append(figure)
        save(figure, path)

    monkeypatch.setattr(drawing, "_save", keep)
    return figures


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_any_script_and_any_sign_are_drawn_as_they_stand(installed, monkeypatch, tmp_path, caplog, suffix):
    source, target = ["▁$x^2$", "▁$", "犬", "एक"], ["a_b$", "\\frac", "▁", "\n", "猫", ""]
    figures = drawn_texts(monkeypatch)
    path = tmp_path / f"plot{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_alignment(source, target, np.full([6, 4], 0.25), path)
    assert path.stat().st_size > 1000
    assert not caplog.records
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["$x^2$", "$", "犬", "एक"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a_b$", "\\frac", "␣", "\\n", "猫", "␣"]


def test_a_script_without_a_font_is_named_once(installed, tmp_path, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_alignment(["\U00012000", "犬"], ["\U00012001\U00012000"], np.ones([1, 2]), tmp_path / "plot.png")
    (record,) = caplog.records
    assert "No installed font has the characters \U00012000 \U00012001; install one" in record.getMessage()


def test_long_texts_fit_into_a_picture(monkeypatch, tmp_path):
    monkeypatch.setattr(drawing, "_LONGEST", 500)
    draw_alignment(["a"] * 40, ["b"], np.ones([1, 40]), tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert 490 <= max(image.size) <= 510
