"""Build the site: python book/build.py [--report reports/quick] [--students zh en fr] [--editions en zh_CN fr]   (make book)

Into book/_build/html: the English edition at its root, the others in zh/ and fr/, what they share (scripts, students, formulas) in assets/.
A warning of Sphinx ends the build with an error. What has not changed since the last build is not built again.
"""

import argparse
import filecmp
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import assemble
import catalogues
from catalogues import ROOT
from vendor import vendor

BUILD = ROOT / "book" / "_build"
FOLDER = {"en": ".", "zh_CN": "zh", "fr": "fr"}


def classic(*modules: str) -> str:
    """Our modules as one classic script: a page opened from a disk may run that, and may not run modules."""
    parts = []
    for module in modules:
        text = (ROOT / "book" / "_static" / module).read_text(encoding="utf-8")
        text = re.sub(r"^import [\s\S]*? from \"\./[\w.]+\";\n", "", text, flags=re.M)
        parts.append(re.sub(r"^export ", "", text, flags=re.M).replace("import.meta.url", "HERE"))
    return f"(() => {{\nconst HERE = document.currentScript.src;\n{''.join(parts)}\n}})();\n"


def assets(folder: Path, report: Path | None, languages: list[str]) -> None:
    """What the editions share."""
    for name in ("mathjax", "@huggingface/tokenizers", "onnxruntime-web"):
        shutil.copytree(vendor(name), folder / "vendor", dirs_exist_ok=True)
    shutil.copytree(ROOT / "book" / "_static", folder, dirs_exist_ok=True)
    script = classic("texts.js", "explorers_math.js", "explorers_plot.js", "explorers_controls.js", "explorers.js")
    (folder / "explorers.classic.js").write_text(script, encoding="utf-8")
    made_from = [report / "metrics.json", *(ROOT / "book" / name for name in ("students.py", "threshold.py"))] if report else []
    key = hashlib.sha256(b"".join(path.read_bytes() for path in made_from) + str(languages).encode()).hexdigest()
    stamp = folder / "students" / "made_from"
    if report and not (stamp.exists() and stamp.read_text() == key):
        import students  # what takes seconds to import is imported where it is needed
        import threshold

        shutil.rmtree(folder / "students", ignore_errors=True)
        students.publish(report / "students", folder / "students", languages=languages)
        threshold.write(report, folder / "data" / "threshold.json")
        stamp.write_text(key)


def texts(folder: Path, edition: str) -> None:
    """What the scripts say in this language."""
    known = json.dumps(catalogues.read(catalogues.INTERFACE, edition), ensure_ascii=False)
    (folder / f"texts_{edition}.js").write_text(f"globalThis.KD_TEXTS = {known};\n", encoding="utf-8")


def sphinx(edition: str) -> None:
    """Build one edition into _build/editions; raises ``CalledProcessError`` where Sphinx warns."""
    source, target = BUILD / "source" / edition, BUILD / "editions" / edition
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-c", str(ROOT / "book"), "-W", "--keep-going", "-q", "-j", "auto",
               "-d", str(BUILD / "doctrees" / edition), str(source), str(target)]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "KDLIB_EDITION": edition})


def sweep(edition: assemble.Edition) -> None:
    """Remove what an earlier build has left of pages that are no more."""
    for path in [*edition.folder.rglob("*.md"), *edition.folder.rglob("*.ipynb")]:
        page = path.relative_to(edition.folder).with_suffix("").as_posix()
        if not page.startswith("downloads/") and page not in edition.written:
            path.unlink()
            (BUILD / "editions" / edition.language / f"{page}.html").unlink(missing_ok=True)


def publish(edition: str) -> None:
    """Copy an edition to its place in the site; where a picture, style or script is that of the English one, its pages use that."""
    built, english = BUILD / "editions" / edition, BUILD / "editions" / "en"
    files = [path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file() and path.suffix != ".map"]
    same = {name for name in files if name.startswith(("_images/", "_static/")) and edition != "en" and (english / name).is_file()
            and filecmp.cmp(built / name, english / name, shallow=False)}  # fmt: skip

    def turn(match: re.Match[str]) -> str:
        return f'"{match[1]}../{match[2]}' if match[2] in same else match[0]

    for name in set(files) - same:
        target = BUILD / "html" / FOLDER[edition] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".html" and same:
            text = (built / name).read_text(encoding="utf-8")
            target.write_text(re.sub(r'"((?:\.\./)*)(_(?:images|static)/[^"?]+)', turn, text), encoding="utf-8")
        else:
            shutil.copyfile(built / name, target)


def main() -> None:
    """Assemble the pages, build each edition."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", type=Path, default=ROOT / "reports" / "quick", help="what make report wrote; left out where there is none")
    parser.add_argument("--students", nargs="*", default=["zh", "en", "fr"], help="which students the site carries")
    parser.add_argument("--editions", nargs="*", default=list(FOLDER), choices=list(FOLDER))
    chosen = parser.parse_args()
    report = chosen.report if (chosen.report / "metrics.json").exists() else None
    if report is None:
        print(f"There is no report in {chosen.report}: the site is built without report and live students. make report writes it.")
    assets(BUILD / "html" / "assets", report, chosen.students)
    for edition in chosen.editions:
        texts(BUILD / "html" / "assets", edition)
        pages = assemble.Edition(edition, BUILD / "source" / edition)
        assemble.assemble(pages, report)
        sweep(pages)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(sphinx, chosen.editions))
    for path in (BUILD / "html").iterdir():  # the pages of the build before
        if path.name != "assets":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for edition in FOLDER:
        if (BUILD / "editions" / edition).is_dir():
            publish(edition)
    catalogues.share()
    size = sum(path.stat().st_size for path in (BUILD / "html").rglob("*") if path.is_file())
    print(f"book/_build/html/index.html: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
