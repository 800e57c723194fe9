"""The page in headless Chromium: quiet, complete, offline, in both colour schemes, at any width."""

import pytest

from tests.chromium import Chromium, chromium_program

pytestmark = pytest.mark.skipif(chromium_program() is None, reason="there is no Chromium")
SCHEMES = ("light", "dark")
WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def file(whole_page, tmp_path_factory):
    """The page of the tiny benchmark as a file."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(whole_page, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    """A browser, started once."""
    with Chromium() as chromium:
        yield chromium


def test_the_browser_reports_what_goes_wrong(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='missing.png' alt=''><script>console.error('no'); undefined.x</script>"
        "<div style='width: 3000px'>wide</div>"
    )
    browser.show(width=390)
    with pytest.raises(RuntimeError, match="decode"):
        browser.open(bad)
    assert len(browser.messages()) >= 2
    assert any(address.endswith("missing.png") for address in browser.requests())
    assert browser.value("document.documentElement.scrollWidth") >= 3000


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_whole(browser, file, num_figures, scheme, width):
    browser.show(width=width, scheme=scheme)
    browser.open(file)
    assert browser.messages() == []
    assert browser.requests() == [file.as_uri()]
    drawn = browser.value("[...document.images].map(image => image.naturalWidth > 0)")
    assert drawn == [True] * num_figures
    # Wide tables and figures scroll in their own frames; the page itself does not.
    assert browser.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out(browser, file, scheme):
    browser.show(scheme=scheme)
    browser.open(file)
    dark = browser.value("getComputedStyle(document.body).backgroundColor === 'rgb(22, 22, 22)'")
    assert dark == (scheme == "dark")
    for selector in ("p", "h2", "td", "th", "figcaption", ".problem", "nav a", ".note"):
        text, page = (
            browser.value(
                f"getComputedStyle(document.querySelector('{selector}')).color.match(/\\d+/g)"
            ),
            browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"),
        )
        # The level AA of the Web Content Accessibility Guidelines.
        assert contrast(text, page) > 4.5, selector


def contrast(first, second):
    """The contrast of two colours by the Web Content Accessibility Guidelines, 1 to 21."""
    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(color):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(channel) / 255 for channel in color[:3])
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_printed_pages_show_what_is_folded(browser, file, tmp_path):
    browser.show(media="print", width=794)
    browser.open(file)
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    height = "document.querySelector('details').getBoundingClientRect().height"
    assert browser.value(height) > 200
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
