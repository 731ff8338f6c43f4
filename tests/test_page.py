"""The page at `/`: its routes, and the page itself in a headless Chromium."""

import contextlib
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from captioned_images import image_of

REVIEW = "It was <b>AWFUL</b>, the kettle; wonderful, said Amélie."
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory, exported_model, exported_translation, exported_captioning, exported_language_model
):
    """A server with a model for each application."""
    # Late, since it imports the server.
    from served import serving

    models = {
        "sentiment": exported_model,
        "translation": exported_translation,
        "captioning": exported_captioning,
        "language model": exported_language_model,
    }
    with serving(models, tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"No Chromium is installed: none of {', '.join(names)} is on the PATH.")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, site):
    """Opens the page of a model: (name, **options of the browser's context) -> page."""
    with contextlib.ExitStack() as stack:
        faults: list[str] = []

        def open_page(name, **options):
            context = stack.enter_context(contextlib.closing(browser.new_context(**options)))
            context.set_default_timeout(60_000)
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            # Among them what the content security policy refuses.
            page.on(
                "console", lambda message: faults.append(message.text) if message.type == "error" else None
            )
            page.on(
                "request",
                lambda request: (
                    None
                    if request.url.startswith((site.rest, "blob:", "data:"))
                    else faults.append(request.url)
                ),
            )
            page.goto(site.rest)
            page.get_by_label("Model", exact=True).select_option(name)
            page.get_by_role("heading", name=name, exact=True).wait_for()
            return page

        open_page.faults = faults
        yield open_page
        assert faults == []


def classify(page, text=REVIEW):
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Classify").click()
    page.get_by_text("How much each word adds").wait_for()


def translate(page, text="a red dog"):
    page.get_by_label("Sentence").fill(text)
    page.get_by_role("button", name="Translate").click()
    page.get_by_role("heading", name="Alignment").wait_for()


def caption(page):
    image = {"name": "it's.png", "mimeType": "image/png", "buffer": image_of("red", "left")}
    page.get_by_label("Choose an image").set_input_files(image)
    page.locator("canvas").wait_for()


def write(page, **fields):
    for label, value in {"Beginning": "The ", "Length": "30", **fields}.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Write").click()


def written(page):
    page.get_by_text(re.compile(r"\d characters\.$")).wait_for()
    return page.locator(".written").text_content()


def weights(row):
    """How strongly each token of a row is lit up."""
    return row.evaluate(
        "row => [...row.querySelectorAll('button')].map(b => +b.style.getPropertyValue('--weight'))"
    )


# The routes.


def test_the_page_is_its_own_and_nothing_else(site):
    answer = site.client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    # No script or style stands in the page, and nothing comes from elsewhere.
    assert re.findall(r"<style|\bstyle=|\bon\w+=|https?:|//\w", answer.text) == []
    assert re.findall(r"<script[^>]*>(.*?)</script>", answer.text) == [""]
    linked = re.findall(r'(?:src|href)="(/[^"]*)"', answer.text)
    assert {"/page/script.js", "/page/style.css", "/page/icon.svg"} <= {*linked}
    for path in linked:
        assert site.client.get(path).status_code == 200, path


@pytest.mark.parametrize(
    "path", ["/page/", "/page/index.html", "/page/../main.py", "/page/%2e%2e/main.py", "/nothing"]
)
def test_no_other_file_is_served(site, path):
    assert site.client.get(path).status_code == 404


def test_the_models_are_described(site):
    status, content = site.get("/page/models")
    assert status == 200
    models = {model["name"]: model for model in content["models"]}
    assert {name: model["application"] for name, model in models.items()} == {
        "sentiment": "sentiment",
        "translation": "translation",
        "captioning": "captioning",
        "language model": "language_modeling",
    }
    assert models["sentiment"]["version"] == 1
    assert models["sentiment"]["signatures"]["explain"]["inputs"] == {"text": "string [batch]"}
    assert models["sentiment"]["signatures"]["explain"]["outputs"]["contributions"] == "float32 [batch, …]"
    assert models["language model"]["example"]
    assert models["sentiment"]["summary"] == "Text in, label out."
    assert "It reads the first 400 tokens of a text." in models["sentiment"]["limits"]
    assert "It sees an image at 16 by 16 pixels, without small details." in models["captioning"]["limits"]


# The page.


def test_a_label_and_the_words_that_decided_it(site, opened):
    page = opened("sentiment")
    classify(page)
    (expected,) = site.models["sentiment"].explain([REVIEW])
    answer = page.get_by_label("Answer")
    assert answer.locator(".result").text_content() == expected.label
    # The text as it was typed, markup included, with each word where it stands.
    assert answer.locator(".tinted").text_content() == REVIEW
    assert answer.locator(".tinted b").count() == 0
    words = answer.locator(".tinted span")
    assert [word.lower() for word in words.all_text_contents()] == expected.tokens
    classes = words.evaluate_all("words => words.map(word => word.className)")
    assert classes == ["against" if number < 0 else "for" for number in expected.contributions]
    strongest = int(np.argmax(np.abs(expected.contributions)))
    assert words.nth(strongest).evaluate("word => word.style.getPropertyValue('--weight')") == "1"
    assert answer.locator("tbody tr").count() <= 6
    assert "It reads the first 400 tokens of a text." in page.get_by_label("Limits").text_content()


def test_what_the_model_did_not_read_is_grey(opened):
    page = opened("sentiment")
    classify(page, "It was awful. " * 200)
    assert page.locator(".tinted .cut").text_content().strip().endswith("It was awful.")
    assert page.get_by_text("longer than the model reads").is_visible()


def test_a_text_without_known_words(opened):
    page = opened("sentiment")
    page.get_by_label("Text").fill("qqq 🙂")
    page.get_by_label("Text").press("Control+Enter")
    page.get_by_text("knows none of these words").wait_for()


def test_the_lines_beside_the_answer_do_what_the_page_did(site, opened, tmp_path):
    page = opened("sentiment", permissions=["clipboard-read", "clipboard-write"])
    classify(page, 'It\'s "awful" \\ $HOME `kettle`')
    label = page.locator(".result").text_content()
    copied = {}
    for kind in ("Python", "curl", "Signature"):
        page.get_by_role("button", name=f"Copy: {kind}").click()
        page.get_by_text("Copied").wait_for()
        copied[kind] = page.evaluate("navigator.clipboard.readText()")
        page.get_by_text("Copied").wait_for(state="detached")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(copied["Python"], {})
    assert printed.getvalue().split()[0] == label
    assert copied["Signature"].startswith("serving_default\n  text: string [batch]\n→")
    page.get_by_text("explain", exact=True).click()
    with contextlib.redirect_stdout(printed):
        exec(page.locator("pre").first.text_content(), {})
    assert [line.split(maxsplit=1)[1] for line in printed.getvalue().splitlines()[1:]] == [
        *("it's", '"', "awful", '"', "\\", "$", "home", "`", "kettle", "`"),
    ]
    if shutil.which("curl") and shutil.which("sh"):
        assert f'"label":["{label}"]' in shell(copied["curl"], tmp_path)
        page = opened("captioning")
        caption(page)
        (tmp_path / "it's.png").write_bytes(image_of("red", "left"))
        line = page.locator("pre").nth(1).text_content()
        assert page.locator(".result").text_content().partition(" score")[0] in shell(line, tmp_path)


def shell(line, folder):
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_translation_and_its_alignment(site, opened):
    page = opened("translation")
    translate(page)
    (expected,) = site.models["translation"].translate(["a red dog"], n_best=3)
    (alignment,) = site.models["translation"].align(["a red dog"])
    assert page.locator(".result").text_content().startswith(expected.text)
    others = page.locator(".others li > :first-child").all_text_contents()
    assert others == [text or "(empty)" for text, _ in expected.n_best[1:]]
    source, target = page.locator(".tokens").nth(0), page.locator(".tokens").nth(1)
    tokens = target.get_by_role("button")
    assert weights(source) == [0] * len(alignment.source_tokens)
    tokens.nth(1).hover()
    lit = alignment.weights[1] / alignment.weights[1].max()
    np.testing.assert_allclose(weights(source), lit, atol=1e-3)
    # The other way round, and by the keyboard.
    source.get_by_role("button").nth(0).focus()
    page.keyboard.press("ArrowRight")
    np.testing.assert_allclose(weights(target), alignment.weights[:, 1], atol=1e-3)
    assert weights(source) == [0] * len(alignment.source_tokens)
    assert page.evaluate("document.activeElement.classList.contains('chosen')")


def test_a_caption_and_where_the_model_looked(site, opened):
    page = opened("captioning")
    caption(page)
    (expected,) = site.models["captioning"].caption([image_of("red", "left")])
    assert page.locator(".result").text_content().startswith(expected.text)
    canvas = page.locator("canvas")
    words, pictures = page.locator(".tokens").get_by_role("button"), set()
    for position in range(words.count()):
        words.nth(position).hover()
        assert canvas.get_attribute("aria-label").startswith(
            f"Where the model looked for word {position + 1} "
        )
        pictures.add(canvas.evaluate("canvas => canvas.toDataURL()"))
    assert len(pictures) > 1
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").click()


def test_an_example_is_drawn_and_captioned(opened):
    page = opened("captioning")
    page.get_by_role("button", name="Try an example").click()
    page.locator("canvas").wait_for()
    assert page.locator(".result").text_content()
    assert page.locator("img.preview").evaluate("image => image.naturalWidth") == 224


def test_what_is_no_image_is_said(opened):
    page = opened("captioning")
    bad = {"name": "bad.png", "mimeType": "image/png", "buffer": b"no image"}
    page.get_by_label("Choose an image").set_input_files(bad)
    assert "“bad.png” has no caption." in page.get_by_role("alert").text_content()
    # Dropped on the page.
    page.evaluate(
        """() => {
            const files = new DataTransfer();
            files.items.add(new File(["text"], "notes.txt", { type: "text/plain" }));
            dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
        }"""
    )
    page.get_by_text("“notes.txt” is not a JPEG or PNG image.").wait_for()


def test_a_text_appears_as_it_is_written(site, opened):
    page = opened("language model")
    options = {"max_length": 30, "temperature": 1.2, "top_k": 5, "seed": 3}
    write(page, **{"Temperature": "1.2", "Top-k": "5", "Seed": "3"})
    assert written(page) == "".join(site.models["language model"].stream("The ", **options))
    assert "temperature=1.2, top_k=5, seed=3" in page.locator("pre").first.text_content()


def test_writing_stops_at_a_string_or_by_the_button(site, opened):
    page = opened("language model")
    (whole,) = site.models["language model"].generate(["The "], max_length=30, temperature=0)
    stop = whole.text[3:5]
    write(page, Temperature="0", **{"Stop at": stop})
    assert written(page) == whole.text[: whole.text.index(stop) + len(stop)]
    write(page, Length="10000", Temperature="1", **{"Stop at": ""})
    page.locator(".written", has_text=re.compile(r".{6}", re.DOTALL)).wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped.").wait_for()
    assert 5 < len(written(page)) < 5000
    assert page.get_by_role("button", name="Stop", exact=True).is_hidden()
    assert page.evaluate("document.activeElement.textContent") == "Write"


@pytest.mark.parametrize(
    ("name", "field", "button"), [("language model", "Beginning", "Write"), ("sentiment", "Text", "Classify")]
)
def test_stopping_while_an_answer_arrives(opened, name, field, button):
    page = opened(name)
    # The page stops once the head of the answer is there and its body is not read yet.
    page.evaluate(
        """() => {
          const { fetch } = window;
          window.fetch = async (...request) => {
            const response = await fetch(...request);
            document.querySelector(".stop").click();
            return response;
          };
        }"""
    )
    page.get_by_label(field, exact=True).fill("The ")
    page.get_by_role("button", name=button).click()
    page.get_by_text("Stopped.").wait_for()
    assert page.get_by_role("alert").count() == 0


def test_errors_are_said_beside_the_form(opened):
    page = opened("sentiment")
    refusal = {"error": "The server is <b>busy</b>."}
    for answer, said in (
        (lambda route: route.fulfill(status=503, json=refusal), refusal["error"]),
        (lambda route: route.abort(), "The server does not answer. Is it still running?"),
    ):
        page.route("**/v1/**", answer)
        page.get_by_label("Text").fill("It was awful.")
        page.get_by_role("button", name="Classify").click()
        assert page.get_by_role("alert").text_content() == said
        page.unroute("**/v1/**")
    # It goes with the next answer.
    classify(page)
    assert page.get_by_role("alert").count() == 0
    # Chromium reports both in its console.
    assert all("Failed to load resource" in fault for fault in opened.faults)
    opened.faults.clear()


def test_a_busy_model_can_be_stopped_or_left(opened):
    page = opened("sentiment")
    page.route("**/v1/**", lambda route: None)
    page.get_by_label("Text").fill("It was awful.")
    page.get_by_role("button", name="Classify").click()
    page.get_by_text("The model is at work…").wait_for()
    assert page.get_by_label("Answer").get_attribute("aria-busy") == "true"
    page.keyboard.press("Escape")
    page.get_by_text("Stopped.").wait_for()
    page.get_by_role("button", name="Classify").click()
    page.get_by_label("Model", exact=True).select_option("translation")
    page.get_by_text("The answer will appear here.").wait_for()
    page.wait_for_timeout(100)
    assert page.get_by_label("Answer").text_content() == "The answer will appear here."
    assert page.get_by_label("Answer").get_attribute("aria-busy") == "false"


def test_a_page_without_models_waits_for_them_and_knows_its_own(browser, site):
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.route(
            "**/page/models", lambda route: route.fulfill(json={"models": [{"name": "x", "version": None}]})
        )
        page.goto(site.rest)
        page.get_by_role("heading", name="No model answers yet").wait_for()
        page.unroute("**/page/models")
        page.get_by_role("heading", name="sentiment").wait_for()
        # Another kind of model.
        other = {"name": "<i>x</i>", "version": 1, "application": None, "limits": []}
        page.route("**/page/models", lambda route: route.fulfill(json={"models": [other]}))
        page.reload()
        page.get_by_role("heading", name="<i>x</i>").wait_for()
        assert "not made by this version" in page.get_by_role("alert").text_content()


def test_right_to_left_text(opened):
    page = opened("sentiment")
    classify(page, "كان الفيلم awful جدًا")
    for place in (page.get_by_label("Text"), page.locator(".tinted")):
        assert place.evaluate("place => getComputedStyle(place).direction") == "rtl"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_a_phone_and_can_be_read(opened, scheme):
    for name, use in {
        "sentiment": lambda page: classify(page, REVIEW + "x" * 300),
        "translation": translate,
        "captioning": caption,
        "language model": lambda page: (write(page), written(page)),
    }.items():
        page = opened(name, viewport={"width": 390, "height": 800}, color_scheme=scheme)
        use(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert page.evaluate(_CONTRASTS) == [], name


# Texts whose contrast with their background is below 4.5, of those that have a background of their own or an opaque one
# around them.
_CONTRASTS = """() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => channels(color).slice(0, 3).map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, channel) => sum + value * [0.2126, 0.7152, 0.0722][channel], 0);
    const background = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if (!color.startsWith("rgb")) return null;
            if ((channels(color)[3] ?? 1) === 1) return color;
        }
        return null;
    };
    return [...document.querySelectorAll("main *, header *, footer *")]
        .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .filter((element) => element.checkVisibility() && background(element))
        .map((element) => [element, getComputedStyle(element).color, background(element)])
        .map(([element, ...colors]) => [element.textContent.slice(0, 40), ...colors.map(light)])
        .filter(([, one, other]) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) < 4.5);
}"""
