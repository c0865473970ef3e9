"""How pdfLaTeX comes to set the fonts beside this script; run it to make its files again after build.py.

    python figures/fonts/tex.py    # needs pltotf, which every TeX has

pdfTeX embeds a TrueType font, but needs a metric file and an encoding of at most 256 characters for it. Each weight is
split in two: ``t1``, the characters of LaTeX's encoding T1 (Cork, 1990) in its places, and ``rest``, every other
character of the font. ``onepage.tex`` declares both to LaTeX and says which character stands where.

Every character is given the height of a capital and no depth. A line of text is then a box from the cap height to the
baseline whatever its letters, as it is in typst, and one distance means the same in both engines.
"""

import subprocess
import tempfile
from pathlib import Path

from fontTools.ttLib import TTFont

HERE = Path(__file__).resolve().parent
WEIGHTS = {"regular": ("OnepageSans-Regular", "m"), "bold": ("OnepageSans-Bold", "b")}

# T1 by rows of sixteen from 0x80 on; below 0x20 the accents and quotation marks, between them ASCII with two changes.
_UPPER = (
    "ĂĄĆČĎĚĘĞĹĽŁŃŇŊŐŔŘŚŠŞŤŢŰŮŸŹŽŻĲİđ§ăąćčďěęğĺľłńňŋőŕřśšşťţűůÿźžżĳ¡¿£"
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖŒØÙÚÛÜÝÞ\0àáâãäåæçèéêëìíîïðñòóôõöœøùúûüýþß"
)
_LOWER = "`´\0\0¨\0\0\0\0¯\0¸\0‚‹›“”„«»–—\0\0ı\0\0\0\0\0\0"
T1 = {slot: character for slot, character in enumerate(_LOWER) if character != "\0"}
T1 |= {slot: chr(slot) for slot in range(0x20, 0x7F)}
T1 |= {0x27: "’", 0x60: "‘", 0x7F: "-"}
T1 |= {0x80 + place: character for place, character in enumerate(_UPPER) if character != "\0"}


def rest(font: TTFont) -> dict[int, str]:
    """The characters that T1 has no place for, in places from 0 on: {place: character}."""
    placed = {character for slot, character in T1.items() if slot > 0x0C}
    left = sorted(code for code in font.getBestCmap() if chr(code) not in placed and code not in (0xA0, 0xAD))
    return {slot: chr(code) for slot, code in enumerate(left)}


def encoding(name: str, places: dict[int, str]) -> str:
    """The encoding as pdfTeX reads it; by their code points the characters can also be found and copied."""
    names = [f"/uni{ord(places[slot]):04X}" if slot in places else "/.notdef" for slot in range(256)]
    rows = [" ".join(names[start : start + 8]) for start in range(0, 256, 8)]
    return "\n".join([f"/{name} [", *rows, "] def", ""])


def properties(font: TTFont, places: dict[int, str]) -> str:
    """The metrics as a property list, what pltotf reads: widths and kerning of the font, one height for all."""
    em, cmap, advances = font["head"].unitsPerEm, font.getBestCmap(), font["hmtx"]
    capital = font["OS/2"].sCapHeight / em
    space, small = advances[cmap[0x20]][0] / em, font["OS/2"].sxHeight / em
    lines = ["(DESIGNSIZE R 10.0)", "(FONTDIMEN", f"(SPACE R {space:.6f})", "(STRETCH R 0.0)", "(SHRINK R 0.0)"]
    lines += [f"(XHEIGHT R {small:.6f})", "(QUAD R 1.0)", ")", "(LIGTABLE"]
    slots = {cmap[ord(character)]: slot for slot, character in places.items() if ord(character) in cmap}
    pairs: dict[int, list[tuple[int, float]]] = {}
    for (left, right), value in sorted(font["kern"].kernTables[0].kernTable.items()):
        if left in slots and right in slots:
            pairs.setdefault(slots[left], []).append((slots[right], value / em))
    for left, rights in sorted(pairs.items()):
        lines += [f"(LABEL D {left})", *(f"(KRN D {right} R {value:.6f})" for right, value in rights), "(STOP)"]
    lines.append(")")
    for slot, character in sorted(places.items()):
        if ord(character) in cmap:
            width = advances[cmap[ord(character)]][0] / em
            lines.append(f"(CHARACTER D {slot} (CHARWD R {width:.6f}) (CHARHT R {capital:.6f}))")
    return "\n".join(lines) + "\n"


def declarations(places: dict[int, str]) -> str:
    r"""onepage.tex: the family ``onepage``; the file that reads it sets \fonts to the folder of these files before."""
    lines = ["% Made by figures/fonts/tex.py: the pictures' face for pdfLaTeX. \\fonts is the folder of its files."]
    shapes: dict[str, list[str]] = {"T1": [], "U": []}
    for weight, (name, series) in WEIGHTS.items():
        for code, part in (("T1", "t1"), ("U", "rest")):
            tfm = f"onepage-{part}-{weight}"
            lines.append(f"\\pdfmapline{{+{tfm} {name}-{part} <\\fonts onepage-{part}.enc <\\fonts {name}.ttf}}")
            shapes[code].append(f"\\DeclareFontShape{{{code}}}{{onepage}}{{{series}}}{{n}}{{<-> \\fonts {tfm}}}{{}}")
    for code, declared in shapes.items():
        lines += [f"\\DeclareFontFamily{{{code}}}{{onepage}}{{\\hyphenchar\\font=-1}}", *declared]
    lines += ["\\renewcommand{\\bfdefault}{b}\\renewcommand{\\sfdefault}{onepage}"]
    lines += ["\\renewcommand{\\familydefault}{\\sfdefault}"]
    lines += ["\\newcommand{\\onepagerest}[1]{{\\fontencoding{U}\\selectfont\\char#1}}"]
    names = {"'": "\\textquotesingle", "`": "\\textasciigrave"}
    for slot, character in places.items():
        if character in names:
            lines.append(f"\\renewcommand{{{names[character]}}}{{\\onepagerest{{{slot}}}}}")
        else:
            lines.append(f"\\DeclareUnicodeCharacter{{{ord(character):04X}}}{{\\onepagerest{{{slot}}}}}")
    return "\n".join(lines) + "\n"


def build(target: Path) -> None:
    """Write onepage.tex, the two encodings and the four metric files to ``target``."""
    for weight, (name, _) in WEIGHTS.items():
        with TTFont(HERE / f"{name}.ttf") as font:
            places = {"t1": T1, "rest": rest(font)}
            for part, slots in places.items():
                with tempfile.TemporaryDirectory() as folder:
                    source = Path(folder) / "font.pl"
                    source.write_text(properties(font, slots), encoding="ascii")
                    tfm = target / f"onepage-{part}-{weight}.tfm"
                    subprocess.run(["pltotf", str(source), str(tfm)], check=True)
                (target / f"onepage-{part}.enc").write_text(encoding(f"onepage{part}", slots), encoding="ascii")
            (target / "onepage.tex").write_text(declarations(places["rest"]), encoding="ascii")


if __name__ == "__main__":
    build(HERE)
