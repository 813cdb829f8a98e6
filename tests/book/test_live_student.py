"""The student that lives in the page: its tokens and logits against Python's, its controls, its errors, what it downloads.

Run: pytest tests/book/test_live_student.py     (needs Chromium, the report of make report or of KDLIB_REPORT, and npm on the first run)
"""

import json
import os
import random
import re
import shutil
import statistics
import sys
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import served
from tokenizers import Tokenizer

import kdlib
from kdlib.errors import InputError
from kdlib.export import OnnxClassifier, export_onnx
from kdlib.files import read_json
from kdlib.teachers import load_classifier

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))
import students  # noqa: E402
from vendor import vendor  # noqa: E402

REPORT = Path(os.environ.get("KDLIB_REPORT", ROOT / "reports" / "quick"))
LANGUAGES = ("zh", "en", "fr")
SLOW = 60_000  # milliseconds that a page may take
FLOAT32, INT8 = 1e-3, 0.05  # largest difference of a logit between browser and Python
UNKNOWN_HERE = "🪼𓀀ᚠ"
ODD = [
    "", " ", "a", "。", "\n\t ", "  two  spaces\tand\na line \r\n", "\u3000全角空格 前后\u3000", "\u00a0no-break\u202fspaces\u2003", "\ufeffa byte order mark\ufeff",
    "next\u0085line", "zero\u200bwidth\u200djoiner\u2060", "a\u0000b\u0007c", "<s> not an end </s> <unk> <pad>", "▁ already ▁there▁", "Ｆｕｌｌ　ｗｉｄｔｈ！？１２３", "ﾊﾝｶｸ ｶﾞ",
    "ﬁne ① ㎏ ½ ™ Ⅷ …", "㋿ 🅬 🯰🯹 ꟲ 𞁐", "cafe\u0301 e\u0327\u0301 o\u0308\u0304", "\u0301starts with a mark", "déjà vu — naïve… « œuvre » l’été", "𝕞𝕒𝕥𝕙 𝓁𝑒𝓉𝓉𝑒𝓇𝓈",
    "👍🏽👩‍👩‍👧‍👦🇫🇷❤️‍🔥1️⃣", "😡😡😡😡😡 0/10", f"{UNKNOWN_HERE} {UNKNOWN_HERE}x{UNKNOWN_HERE}", "한국어 кириллица العربية हिन्दी ภาษาไทย עברית", "Ha\u030aland \u1112\u1161\u11ab",
    "好吃到哭the best麵條ever，même pas cher！", "繁體字：這間餐廳實在太差勁了。", "!!!???...,,,;;;", "1234567890 3.14159 1,000,000 -40°C", "x" * 600, "好" * 300, "不 " * 200,
    "word " * 500, "très bien, " * 100, "🦄" * 400, "A sentence that comes again. " * 200, "a\u0301" * 300, "https://example.org/?q=a&b=%20c#d user@example.org",
]  # fmt: skip


def texts_of(language: str) -> list[str]:
    """150 diagnostic texts of a language, every odd string, and 60 strings of random characters, some of them mixed with a review."""
    reviews = list(kdlib.load_diagnostics(language)["text"])
    chance = random.Random(language)
    anything = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    made = ["".join(chance.choice([chance.choice(anything), chance.choice(reviews)[:9], " "]) for _ in range(chance.randint(1, 40))) for _ in range(60)]
    return [*reviews, *ODD, *made]


def loader() -> str:
    """The raw HTML of the page live_student.md with its words between, as Sphinx would put it into the site."""
    page = (ROOT / "book" / "live_student.md").read_text(encoding="utf-8")
    return re.sub(r"```\{raw\} html\n([\s\S]*?)```", r"\1", page)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Folder and address of a site with this page alone; beside the int8 files, for the tests only, the same students in float32."""
    folder = tmp_path_factory.mktemp("site")
    assets = shutil.copytree(ROOT / "book" / "_static", folder / "assets")
    for name in students.ENGINE:
        shutil.copytree(vendor(name), assets / "vendor", dirs_exist_ok=True)
    students.publish(REPORT / "students", assets / "students")
    for language in LANGUAGES:
        model, tokenizer = load_classifier(REPORT / "students" / language)
        students.cut_positions(model)
        exported = export_onnx(model, tokenizer, tmp_path_factory.mktemp("onnx") / language, quantize=False)
        shutil.copy(exported / "model.onnx", assets / "students" / language)
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>A student</title><link rel="icon" href="data:,"><link rel="stylesheet" href="assets/student.css"><main>'
    (folder / "live_student.html").write_text(f"{head}{loader()}</main></html>", encoding="utf-8")
    with served(folder) as address:
        yield folder, f"{address}/live_student.html"


@pytest.fixture
def page(browser: Any, site: tuple[Path, str]) -> Iterator[Any]:
    """The page in a browser without cache; fails on what it says on its console and on any request to another host."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.asked, page.said = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.said.append(str(error)))
    yield page
    context.close()
    home = site[1].removesuffix("live_student.html")
    assert [url for url in page.asked if not url.startswith((home, "data:", "blob:", "file:"))] == []


@pytest.fixture(scope="module")
def answers(browser: Any, site: tuple[Path, str]) -> dict[tuple[str, str], Any]:
    """What the browser makes of every text, by language and file: ids, pieces, cut, logits."""
    page = browser.new_page()
    page.set_default_timeout(SLOW)
    page.goto(site[1])
    ask = """async ([language, model, texts]) => {
        const student = await (await import("/assets/student.js")).loadStudent(language, undefined, model);
        const answers = [];
        for (const text of texts) {
            const {ids, pieces, cut} = student.tokens(text);
            answers.push({ids, pieces, cut, logits: await student.logits(ids)});
        }
        return answers;
    }"""
    found = {}
    for language in LANGUAGES:
        for model in ("model.onnx", "model.int8.onnx"):
            found[language, model] = page.evaluate(ask, [language, model, texts_of(language)])
    page.close()
    return found


# --- the same student as in Python ----------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_tokens_are_those_of_python(language: str, answers: dict[tuple[str, str], Any]) -> None:
    """Against the checkpoint's own tokenizer: the ids, cut at 128; where something is cut, the page knows."""
    tokenizer = Tokenizer.from_file(str(REPORT / "students" / language / "tokenizer.json"))
    tokenizer.no_padding()
    texts, said = texts_of(language), answers[language, "model.onnx"]
    tokenizer.no_truncation()
    whole = [len(tokenizer.encode(text).ids) for text in texts]
    tokenizer.enable_truncation(128)
    wrong = [text for text, answer in zip(texts, said, strict=True) if answer["ids"] != tokenizer.encode(text).ids]
    assert wrong == []
    assert [answer["cut"] for answer in said] == [count > 128 or len(text.encode("utf-16-le")) > 10_000 for count, text in zip(whole, texts, strict=True)]
    assert any(answer["cut"] for answer in said) and len(texts) >= 200
    unknown = tokenizer.token_to_id("<unk>")
    assert any(unknown in answer["ids"] for answer in said)


def test_characters_are_normalised_as_in_python(page: Any, site: tuple[Path, str]) -> None:
    """Every character that Python knows, within a word, before an accent, after one and at both ends; browsers know newer ones."""
    steps = Tokenizer.from_file(str(REPORT / "students" / "en" / "tokenizer.json")).normalizer
    known = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    frames = ["a{}b", "a{}\u0301", "c{}\u0327b", "a\u0301{}", "{}"]
    expected = {}
    for frame in frames:
        for character in known:
            text = frame.replace("{}", character)
            if (normal := steps.normalize_str(text)) != text:
                expected[text] = normal
    assert len(known) > 250_000 and len(expected) > 10_000
    page.goto(site[1])
    wrong = page.evaluate(
        """async ([frames, known, expected]) => {
            const {normalise} = await import("/assets/student.js");
            const wrong = [];
            for (const frame of frames) for (const character of known) {
                const text = frame.replace("{}", () => character);
                if (normalise(text) !== (expected[text] ?? text)) wrong.push([...text].map((c) => c.codePointAt(0).toString(16)).join(" "));
            }
            return wrong;
        }""",
        [frames, known, expected],
    )
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_float32_answers_as_the_checkpoint(language: str, answers: dict[tuple[str, str], Any]) -> None:
    """The browser's float32 student against PyTorch's, which still has all positions: same class, logits within 0.001."""
    model, tokenizer = load_classifier(REPORT / "students" / language)
    texts = texts_of(language)
    expected = kdlib.predict_logits(model, tokenizer, texts)
    found = np.array([answer["logits"] for answer in answers[language, "model.onnx"]])
    gap = np.abs(found - expected).max()
    print(f"{language}, float32: largest difference {gap:.1e} in {len(texts)} texts")
    assert gap < FLOAT32
    assert (found.argmax(-1) == expected.argmax(-1)).all()


@pytest.mark.parametrize("language", LANGUAGES)
def test_int8_answers_as_onnx_runtime_in_python(language: str, site: tuple[Path, str], answers: dict[tuple[str, str], Any]) -> None:
    """The published file, one text at a time. Both round activations to 8 bits; what lies between two of 255 steps may go either way."""
    texts = texts_of(language)
    expected = OnnxClassifier(site[0] / "assets" / "students" / language, threads=1).predict_logits(texts, batch_size=1)
    found = np.array([answer["logits"] for answer in answers[language, "model.int8.onnx"]])
    gaps, margin = np.abs(found - expected).max(-1), np.abs(expected[:, 0] - expected[:, 1])
    same = found.argmax(-1) == expected.argmax(-1)
    print(f"{language}, int8: largest difference {gaps.max():.4f}, median {np.median(gaps):.1e}; same class {same.mean():.2%} of {len(texts)}")
    assert gaps.max() < INT8
    assert same[margin > 2 * INT8].all() and same.mean() >= 0.99


# --- what is published ----------------------------------------------------------------------------------


def test_what_is_published(site: tuple[Path, str]) -> None:
    folder, report = site[0] / "assets" / "students", read_json(REPORT / "metrics.json")
    listed = read_json(folder / "students.json")
    assert list(listed["languages"]) == list(LANGUAGES)
    vendored = [site[0] / "assets" / "vendor" / name for name in ("ort.wasm.min.mjs", "tokenizers.min.mjs")]
    vendored += [site[0] / "assets" / "vendor" / f"ort-wasm-simd-threaded.{suffix}" for suffix in ("mjs", "wasm")]
    assert listed["engine"]["bytes"] == sum(path.stat().st_size for path in vendored)
    for language, facts in listed["languages"].items():
        sizes = {name: (folder / language / name).stat().st_size for name in students.FILES}
        assert facts["files"] == sizes and facts["bytes"] == sum(sizes.values())
        print(f"{language}: {facts['bytes'] / 1e6:.2f} MB")
        assert facts["bytes"] < (10e6 if language == "en" else 6.0e6)  # English has six layers, half of them float32
        figures = report["languages"][language]
        assert facts["student"]["accuracy"] == figures["student_distilled"]["accuracy"]
        assert facts["teacher"]["accuracy_interval"] == figures["teacher"]["accuracy_interval"]
        assert facts["learned_from"]["personal_use"] is (language == "fr") and facts["learned_from"]["licence"]
        assert facts["int8"]["agreement"] > 0.95 and facts["int8"]["n"] == 150
        assert len(facts["examples"]) == 8 == len({example["phenomenon"] for example in facts["examples"]})
        right = [np.argmax(example["student_logits"]) == ["negative", "positive"].index(example["label"]) for example in facts["examples"]]
        assert 0 < sum(right) < 8
        compact, original = (Tokenizer.from_file(str(home / language / "tokenizer.json")) for home in (folder, REPORT / "students"))
        assert compact.get_vocab() == original.get_vocab()


def test_the_teacher_is_the_reports_own() -> None:
    """Its answers to all diagnostic texts give the shares that the report wrote down, phenomenon by phenomenon."""
    report = read_json(REPORT / "metrics.json")
    for language, rows in students.teacher_answers(report["settings"]).items():
        right: dict[str, list[bool]] = {}
        for row in rows:
            if row["label"] < 2:
                right.setdefault(row["phenomenon"], []).append(int(np.argmax(row["teacher_logits"])) == row["label"])
        noted = {name: share["teacher"] for name, share in report["languages"][language]["phenomena"].items() if name != "all"}
        assert {name: pytest.approx(np.mean(share)) for name, share in right.items()} == noted


def test_a_language_can_be_left_out(tmp_path: Path) -> None:
    listed = students.publish(REPORT / "students", tmp_path / "students", languages=["zh"])
    assert list(listed["languages"]) == ["zh"]
    assert {path.name for path in (tmp_path / "students").iterdir()} == {"zh", "students.json"}
    with pytest.raises(InputError, match="has no student for de"):
        students.publish(REPORT / "students", tmp_path / "students", languages=["zh", "de"])
    assert (tmp_path / "students" / "zh").is_dir()


# --- the page -------------------------------------------------------------------------------------------


def answer_of(page: Any) -> dict[str, Any]:
    """What the page shows: the verdicts and the pieces."""
    return {
        "said": page.locator(".kds-verdict strong").all_inner_texts(),
        "pieces": [text.removesuffix("unknown") for text in page.locator(".kds-tokens li").all_inner_texts()],
        "lines": page.locator("output p, .kds-tokens p").all_inner_texts(),
    }


def wait_for_text(page: Any, text: str) -> None:
    page.get_by_text(text).first.wait_for()


def write(page: Any, text: str, last_piece: str) -> None:
    page.fill("#kds-text", text)
    page.locator(f'.kds-tokens li:nth-last-child(2):text-is("{last_piece}")').wait_for()


def test_nothing_is_downloaded_before_the_reader_asks(page: Any, site: tuple[Path, str]) -> None:
    page.goto(site[1])
    wait_for_text(page, "Nothing is downloaded")
    page.keyboard.press("Tab")  # to look around by keyboard is not to ask
    page.keyboard.press("Tab")
    page.wait_for_timeout(500)
    names = {url.rsplit("/", 1)[1] for url in page.asked}
    assert names <= {"live_student.html", "student.css", "student.js", "texts.js", "students.json", "favicon.ico"}
    before = len(page.asked)
    page.get_by_role("button", name="Load the student").click()
    wait_for_text(page, "The student is ready.")
    new = [url.split("/assets/")[1] for url in page.asked[before:]]
    assert "students/en/model.int8.onnx" in new and len(new) == len(set(new))
    assert not [name for name in new if name.startswith(("students/zh", "students/fr"))]
    listed = read_json(site[0] / "assets" / "students" / "students.json")
    assert sum((site[0] / "assets" / name).stat().st_size for name in new) == listed["engine"]["bytes"] + listed["languages"]["en"]["bytes"]
    assert page.said == []


def test_example_with_the_teachers_answer(page: Any, site: tuple[Path, str]) -> None:
    """Of every language's every example: student and teacher as recorded, and the sentence on who is right."""
    page.goto(site[1])
    names = {"zh": "中文", "en": "English", "fr": "Français"}
    listed = read_json(site[0] / "assets" / "students" / "students.json")["languages"]
    for language in LANGUAGES:
        page.get_by_role("radio", name=names[language]).check(force=True)
        for i, example in enumerate(listed[language]["examples"]):
            button = page.locator(".kds-examples button").nth(i)
            page.evaluate("document.querySelector('output').replaceChildren()")  # what comes now is the answer to this one
            button.click()
            page.locator(".kds-verdict").nth(1).wait_for()
            assert page.locator("#kds-text").input_value() == example["text"] and button.get_attribute("aria-pressed") == "true"
            shown = answer_of(page)
            logits = [np.array(example[f"{who}_logits"]) for who in ("student", "teacher")]
            shares = [np.exp(z) / np.exp(z).sum() for z in logits]
            for said, share in zip(shown["said"], shares, strict=True):
                label, percent = said.split(", ")
                assert label == ["negative", "positive"][share.argmax()] or abs(share[0] - 0.5) < 0.02
                assert abs(float(percent.removesuffix("\u00a0%").removesuffix(" %")) - 100 * share.max()) < 2
            right = [["negative", "positive"][share.argmax()] == example["label"] for share in shares]
            wanted = {(True, True): "both are right", (False, False): "both are wrong", (True, False): "the student is right, the teacher wrong",
                      (False, True): "the student is wrong, the teacher right"}[right[0], right[1]]  # fmt: skip
            assert any(wanted in line for line in shown["lines"])
    assert page.said == []


def test_typing_answers_without_a_button(page: Any, site: tuple[Path, str]) -> None:
    page.goto(site[1])
    page.locator("#kds-text").press_sequentially("A great book", delay=20)
    page.locator(".kds-verdict").wait_for()
    page.locator('.kds-tokens li:text-is("▁book")').wait_for()
    assert len(answer_of(page)["said"]) == 1  # no teacher for what it was never asked
    write(page, f"A great {UNKNOWN_HERE} film", "▁film")
    shown = answer_of(page)
    assert shown["pieces"].count(UNKNOWN_HERE) == 1 and page.locator(".kds-unknown small").inner_text() == "unknown"
    assert any("1 of them unknown to this student" in line for line in shown["lines"])
    page.fill("#kds-text", "   ")
    wait_for_text(page, "The answer appears here")
    assert answer_of(page)["said"] == [] == answer_of(page)["pieces"]
    page.fill("#kds-text", "No good. " * 20_000)
    wait_for_text(page, "Only the first 128 tokens are read")
    assert len(answer_of(page)["pieces"]) == 128
    assert page.said == []


def test_an_older_answer_never_replaces_a_newer_one(page: Any, site: tuple[Path, str]) -> None:
    page.goto(site[1])
    page.evaluate("""async () => {
        const {Student} = await import("/assets/student.js");
        const read = Student.prototype.read;
        Student.prototype.read = async function (text) {
            const answer = await read.call(this, text);
            await new Promise((done) => setTimeout(done, text.includes("slow") ? 1500 : 0));
            return answer;
        };
    }""")
    write(page, "ready", "▁ready")
    page.fill("#kds-text", "slow")
    page.wait_for_timeout(400)  # it is being read
    write(page, "at last", "▁last")
    page.wait_for_timeout(2000)
    assert answer_of(page)["pieces"][-2] == "▁last"
    page.fill("#kds-text", "slow")
    page.wait_for_timeout(400)
    page.get_by_role("radio", name="Français").check(force=True)  # another student: the English answer is not asked for any more
    page.locator('.kds-tokens li').first.wait_for()
    french = answer_of(page)
    page.wait_for_timeout(2000)
    assert answer_of(page) == french


def test_by_keyboard_alone(page: Any, site: tuple[Path, str]) -> None:
    """Tab, arrows, Enter and letters: choose French, take an example, type; the focus can be seen at every control."""
    page.goto(site[1])
    page.locator(".kds-examples button").first.wait_for()

    def go_to(condition: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate(f"(e => {condition})(document.activeElement)"):
                return
        pytest.fail(f"Tab does not reach {condition}")

    seen = """e => { const s = getComputedStyle(e.matches('[type=radio]') ? e.nextElementSibling : e); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; }"""
    go_to("e.type === 'radio'")
    assert page.evaluate(f"({seen})(document.activeElement)")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.value") == "fr"
    go_to("e.matches('.kds-examples button')")
    assert page.evaluate(f"({seen})(document.activeElement)")
    page.keyboard.press("Enter")
    page.locator(".kds-verdict").nth(1).wait_for()
    assert page.evaluate("document.activeElement.matches('.kds-examples button')")  # the focus stays, for the next example
    go_to("e.id === 'kds-text'")
    assert page.evaluate(f"({seen})(document.activeElement)")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("Quel beau livre")
    page.locator('.kds-tokens li:nth-last-child(2):text-is("▁livre")').wait_for()
    assert page.locator("output").get_attribute("for") == "kds-text" and page.get_by_role("status").count() >= 1
    page.reload()
    page.locator(".kds-load").wait_for()
    go_to("e.matches('.kds-load')")
    page.keyboard.press("Enter")
    wait_for_text(page, "The student is ready.")
    assert page.evaluate("document.activeElement.id") == "kds-text"  # the button is gone: the box has the focus


@pytest.mark.parametrize("file", ["students/en/model.int8.onnx", "students/en/tokenizer.json", "vendor/ort-wasm-simd-threaded.wasm",
                                  "vendor/ort-wasm-simd-threaded.mjs", "vendor/tokenizers.min.mjs"])  # fmt: skip
def test_a_missing_file_is_named(file: str, page: Any, site: tuple[Path, str]) -> None:
    """In one sentence; and when it is back, the next try needs no new page."""
    page.route(f"**/{file}", lambda route: route.fulfill(status=404))
    page.goto(site[1])
    page.locator(".kds-examples button").first.click()
    sentence = page.get_by_role("alert")
    sentence.wait_for()
    assert sentence.inner_text() == f"The file {file} is missing on the server: copy the folder assets as a whole, or build the book again."
    assert answer_of(page)["said"] == [] and page.locator("progress").is_hidden()
    if file.endswith(".mjs"):  # a browser remembers for a page that a module is missing
        return
    page.unroute(f"**/{file}")
    page.get_by_role("button", name="Load the student").click()
    page.locator(".kds-verdict").nth(1).wait_for()
    assert sentence.is_hidden()


def test_a_server_that_is_gone(page: Any, site: tuple[Path, str]) -> None:
    page.route("**/model.int8.onnx", lambda route: route.abort())
    page.goto(site[1])
    page.get_by_role("button", name="Load the student").click()
    wait_for_text(page, "The file students/en/model.int8.onnx cannot be fetched: is the server still running?")


def test_webassembly_refused(page: Any, site: tuple[Path, str]) -> None:
    """By the site's own policy; nothing large is downloaded then."""

    def guarded(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "Content-Security-Policy": "script-src 'self' 'unsafe-inline'"})

    page.route(site[1], guarded)
    page.goto(site[1])
    page.get_by_role("button", name="Load the student").click()
    wait_for_text(page, "This browser does not run WebAssembly on this page, and the student needs it: allow it, or try another browser.")
    assert not [url for url in page.asked if url.endswith(".wasm")]


def test_a_site_without_students(page: Any, site: tuple[Path, str]) -> None:
    page.route("**/students.json", lambda route: route.fulfill(status=404))
    page.goto(site[1])
    wait_for_text(page, "This copy of the site has no students: run make report, then make book.")


def test_without_javascript_and_from_a_disk(browser: Any, page: Any, site: tuple[Path, str]) -> None:
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(site[1])
    shown = plain.locator("body").inner_text()
    assert "The student needs JavaScript" in shown and "python -m http.server" not in shown
    plain.context.close()
    page.goto((site[0] / "live_student.html").as_uri())
    page.get_by_text("python -m http.server").wait_for()
    page.goto(site[1])
    page.locator(".kds-load").wait_for()
    assert page.get_by_text("python -m http.server").is_hidden()


def test_no_text_is_outside_of_t() -> None:
    """Each sentence of the script stands in t("…"), in double quotes, where a program finds it; and every one is used as written."""
    script = (ROOT / "book" / "_static" / "student.js").read_text(encoding="utf-8")
    found = re.findall(r"\bt\((\S)", script)
    assert len(found) > 40 and set(found) == {'"'}
    outside = re.sub(r'\bt\("[^"]*"\)|^\s*//.*$|\s//.*$|/\*\*[\s\S]*?\*/', "", script, flags=re.M)
    assert re.findall(r'["`][A-Z][a-z]+ [a-z]+ [^"`]*["`]', outside) == []


@pytest.mark.parametrize("width", [320, 380, 768, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_and_is_accessible(width: int, theme: str, browser: Any, site: tuple[Path, str]) -> None:
    """No sideways scrolling, and axe finds nothing to say, before and after an answer."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.set_default_timeout(SLOW)
    page.goto(site[1])
    dark = "--pst-color-background: #14181e; --pst-color-surface: #29313d; --pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af; --pst-color-border: #48566b"
    if theme == "dark":  # the theme's own values: pydata-sphinx-theme
        style = f"html {{ {dark}; --pst-color-primary: #3fb1c5; --pst-color-primary-text: #000; background: #14181e; color: #ced6dd }} a {{ color: #3fb1c5 }}"
        page.add_style_tag(content=style)
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.add_script_tag(path=vendor("axe-core") / "axe.min.js")
    for _ in range(2):
        found = page.evaluate("axe.run('#kds').then((result) => result.violations.map((v) => [v.id, v.nodes.map((node) => node.html)]))")
        assert found == []
        assert page.evaluate("document.querySelector('#kds').scrollWidth <= document.querySelector('#kds').clientWidth")
        page.locator(".kds-examples button").nth(3).click()
        page.locator(".kds-verdict").nth(1).wait_for()
    page.close()


def test_how_long_it_takes(browser: Any, site: tuple[Path, str]) -> None:
    """From the first key to the first answer in an empty browser, and from a text to its answer later; bars far above what is measured."""
    for language, name in (("zh", "中文"), ("en", "English"), ("fr", "Français")):
        context = browser.new_context()
        page = context.new_page()
        page.goto(site[1])
        page.get_by_role("radio", name=name).check(force=True)
        start = time.perf_counter()
        page.locator(".kds-examples button").first.click()
        page.locator(".kds-verdict").nth(1).wait_for(timeout=SLOW)
        first = time.perf_counter() - start
        times = page.evaluate(
            """async ([language, texts]) => {
                const student = await (await import("/assets/student.js")).loadStudent(language);
                const times = [];
                for (const text of texts) times.push((await student.read(text)).milliseconds);
                return times;
            }""",
            [language, texts_of(language)[:100]],
        )
        later = statistics.median(times)
        print(f"{language}: first answer {first:.2f} s, later {later:.1f} ms (median; slowest {max(times):.1f})")
        context.close()
        assert first < 10 and later < 300


def test_two_editions_share_one_copy(page: Any, site: tuple[Path, str]) -> None:
    """A page one folder further down finds the same files, and its translations."""
    text = (site[0] / "live_student.html").read_text(encoding="utf-8").replace('href="assets/', 'href="../assets/').replace('lang="en"', 'lang="zh-CN"')
    texts = json.dumps({"Examples": "例子", "negative": "负面", "positive": "正面"}, ensure_ascii=False)
    (site[0] / "zh").mkdir(exist_ok=True)
    (site[0] / "zh" / "live_student.html").write_text(text.replace("<main>", f"<script>globalThis.KD_TEXTS = {texts}</script><main>"), encoding="utf-8")
    page.goto(site[1].replace("live_student", "zh/live_student"))
    wait_for_text(page, "例子")
    assert page.get_by_role("radio", name="中文").is_checked()  # the edition's own language
    page.locator(".kds-examples button").first.click()
    page.locator(".kds-verdict strong").first.wait_for()
    assert answer_of(page)["said"][0][:2] in ("负面", "正面")
