"""Generated stand-in for Multi30k: a toy grammar of English and a German-like language, in parallel.

Its German is a subset of real German, with features that require attention: gender, case and number in articles,
adjectives and pronouns; the finite verb second (also after a fronted adverb or clause), first in questions, last in
subordinate clauses; separable prefixes, participles and infinitives at the end. For example: "Heute will der alte Mann,
der im Garten singt, meiner Schwester den Hut zeigen."

Every English sentence has one translation. Sentences have 4 to 22 words in both languages. No sentence of either
language occurs twice, so no test sentence occurs in the training split. The draws use only ``random.random``, whose
stream is the same in every version of Python: the bytes are the same everywhere.
"""

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onepage import files
from onepage.data import toy_words as words
from onepage.data.toy_words import Noun, Verb

VERSION = 1  # raise it when the sentences change: sets on disk are then generated again
SIZES = {"train": 6_000, "val": 300, "test": 500}
DISK_BYTES = 850_000  # about

# Case -> forms for masculine, feminine, neuter, plural. The strong endings are also those of "dies-" and "mein-".
DEFINITE = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem den"}
STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}
WEAK = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en"}
PRONOUNS = {"nom": "er sie es sie"}
TENSES = ("present", "present", "perfect", "perfect", "modal")


@dataclass(frozen=True)
class Phrase:
    """A noun phrase; ``determiner``: "the", "a", "my", "this" or ""; ``relative``: its clause, (English, German)."""

    noun: Noun
    plural: bool = False
    determiner: str = "the"
    adjective: str = ""
    relative: tuple[str, str] = ("", "")

    def form(self, table: dict[str, str], case: str) -> str:
        """The entry of a table above for this phrase's gender and number."""
        return table[case].split()[3 if self.plural else "mfn".index(self.noun.gender)]

    def english(self) -> str:
        rest = f"{self.adjective} {self.noun.en_plural if self.plural else self.noun.en}".strip()
        determiner = "these" if self.determiner == "this" and self.plural else self.determiner
        determiner += "n" if determiner == "a" and rest[0] in "aeiou" else ""
        return f"{determiner} {rest} {self.relative[0]}".strip()

    def german(self, case: str) -> str:
        """The phrase in the nominative ("nom"), accusative ("acc") or dative ("dat")."""
        ending = self.form(STRONG, case)
        # ein and mein have no ending in three forms; then, and without an article, the adjective has the strong ending
        bare = self.determiner in ("a", "my") and not self.plural and case != "dat" and ending in ("er", "es")
        determiner = {"this": "dies", "a": "ein", "my": "mein"}.get(self.determiner, "")
        determiner += "" if bare or not determiner else ending
        determiner = self.form(DEFINITE, case) if self.determiner == "the" else determiner
        adjective = words.ADJECTIVES[self.adjective][0].removesuffix("e") if self.adjective else ""
        adjective += self.form(STRONG if bare or not determiner else WEAK, case) if adjective else ""
        noun = self.noun.de_plural if self.plural else self.noun.de
        noun += "n" if self.plural and case == "dat" and noun[-1] not in "ns" else ""
        relative = f", {self.relative[1]} ," if self.relative[1] else ""
        return " ".join(f"{determiner} {adjective} {noun} {relative}".split())


class Pronoun(Phrase):
    """he, she, it or they, as a subject: the English one by sex, the German one by the noun's gender."""

    def english(self) -> str:
        if self.plural or self.noun.kind != "person" or self.noun.en in ("child", "baby"):
            return "they" if self.plural else "it"
        return "he" if self.noun.gender == "m" else "she"

    def german(self, case: str) -> str:
        return self.form(PRONOUNS, case)


@dataclass(frozen=True)
class Clause:
    """``tense``: "present", "perfect" or "modal"; ``objects`` with their German cases; ``place``: (English, German)."""

    subject: Phrase
    verb: Verb | None = None
    predicate: str = ""
    tense: str = "present"
    modal: str = "can"
    objects: tuple[tuple[Phrase, str], ...] = ()
    negated: bool = False
    place: tuple[str, str] = ("", "")

    def english(self, subject: str | None = None, question: bool = False) -> str:
        """Subject, verb, objects; ``subject`` "who" or "that" replaces the subject in a relative clause."""
        verb, auxiliary = self.verb, True
        if verb is None:
            forms, rest = ("is", "are"), self.predicate
        elif self.tense == "perfect":
            forms, rest = ("has", "have"), f"{'not' if self.negated else ''} {verb.en_participle}"
        elif self.tense == "modal":
            forms, rest, auxiliary = words.MODALS[self.modal][:2], verb.en, self.modal != "want"
        elif self.negated:
            forms, rest = ("does", "do"), f"not {verb.en}"
        else:
            forms, rest, auxiliary = (verb.en_third, verb.en), "", False
        objects = " ".join(phrase.english() for phrase, _ in self.objects)
        rest = f"{rest} {verb.particle if verb else ''} {objects} {self.place[0]}"
        subject = self.subject.english() if subject is None else subject
        if question and not auxiliary:
            return f"{('does', 'do')[self.subject.plural]} {subject} {forms[1]} {rest}"
        finite = forms[self.subject.plural]
        return f"{finite} {subject} {rest}" if question else f"{subject} {finite} {rest}"

    def german(self, order: str = "second", subject: str | None = None) -> str:
        """With the finite verb "second", "first" or "last"; ``subject``: a relative pronoun in place of the subject."""
        verb = self.verb
        if verb is None:
            forms, closing = ("ist", "sind"), words.ADJECTIVES[self.predicate][0]
        elif self.tense == "perfect":
            forms, closing = (("hat", "haben") if verb.auxiliary == "haben" else ("ist", "sind")), verb.de_participle
        elif self.tense == "modal":
            forms, closing = words.MODALS[self.modal][2:], verb.prefix + verb.de
        else:
            forms, closing = (verb.de_third, verb.de), verb.prefix
        finite = forms[self.subject.plural]
        objects = " ".join(phrase.german(case) for phrase, case in self.objects)
        middle = f"{objects} {'nicht' if self.negated else ''} {self.place[1]}"
        subject = self.subject.german("nom") if subject is None else subject
        if order == "last":
            space = "" if verb and self.tense == "present" else " "  # separable prefix and verb are one word here
            return f"{subject} {middle} {closing}{space}{finite}"
        start = f"{subject} {finite}" if order == "second" else f"{finite} {subject}"
        return f"{start} {middle} {closing}"


class _Sentence:
    """Draws one sentence: with at most one relative clause, and no noun twice."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._used: set[str] = set()
        self._may_relate = True

    def _pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self._random.random() * len(choices))]

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def draw(self) -> tuple[str, str]:
        """The sentence in English and German, as text."""
        draw, mark = self._random.random(), "."
        if draw < 0.30 or draw >= 0.95:
            clause = self._clause() if draw < 0.30 else self._state()
            english, german = clause.english(), clause.german()
        elif draw < 0.42:
            clause = self._clause(tenses=("present", "present", "modal"))
            adverb = self._pick(tuple(words.ADVERBS))
            english, german = f"{adverb} {clause.english()}", f"{words.ADVERBS[adverb]} {clause.german('first')}"
        elif draw < 0.50:
            clause, mark = self._clause(negatable=False), "?"
            english, german = clause.english(question=True), clause.german("first")
        elif draw < 0.70:
            main = self._clause()
            subject = Pronoun(main.subject.noun, main.subject.plural) if self._chance(0.6) else None
            clause = self._state(subject) if self._chance(0.3) else self._clause(subject)
            word = self._pick(tuple(words.SUBJUNCTIONS))
            english = f"{main.english()} {word} {clause.english()}"
            german = f"{main.german()} , {words.SUBJUNCTIONS[word]} {clause.german('last')}"
        elif draw < 0.77:
            main, clause = self._clause(), self._clause()
            english = f"when {main.english()} , {clause.english()}"
            german = f"wenn {main.german('last')} , {clause.german('first')}"
        elif draw < 0.84:
            main, clause = self._clause(), self._clause()
            word, translation = self._pick((("and", "und"), (", but", ", aber")))
            english = f"{main.english()} {word} {clause.english()}"
            german = f"{main.german()} {translation} {clause.german()}"
        else:
            thinks = [verb for verb in words.VERBS if verb.takes == "clause"]
            main, clause = Clause(self._phrase(words.PEOPLE), self._pick(thinks)), self._clause()
            english = f"{main.english()} that {clause.english()}"
            german = f"{main.german()} , dass {clause.german('last')}"
        return _finish(f"{english} {mark}"), _finish(f"{german} {mark}")

    def _state(self, subject: Phrase | None = None) -> Clause:
        subject = subject or self._phrase(words.NOUNS)
        return Clause(subject, predicate=self._adjective(subject.noun.kind, subject.adjective))

    def _clause(self, subject: Phrase | None = None, tenses: Sequence[str] = TENSES, negatable: bool = True) -> Clause:
        """A clause with a verb; its subject, unless given, is a person or, less often, an animal."""
        subject = subject or self._phrase(words.PEOPLE if self._chance(0.65) else words.ANIMALS)
        human = subject.noun.kind == "person"
        tense, modal, draw = self._pick(tenses), self._pick(tuple(words.MODALS)), self._random.random()
        objects: tuple[tuple[Phrase, str], ...] = ()
        if draw < 0.12 and human:
            verb = self._pick([verb for verb in words.VERBS if verb.takes == "two"])
            objects = ((self._phrase(words.PEOPLE), "dat"), (self._phrase(words.THINGS), "acc"))
        elif draw < (0.65 if human else 0.5):
            simple = [v for v in words.TRANSITIVE if v.takes in ("any", "animate") and not v.prefix]
            verb = self._pick(words.TRANSITIVE if human else simple)
            objects = ((self._phrase([noun for noun in words.NOUNS if verb.takes in noun.fits]), verb.case),)
        else:
            verb = self._pick([v for v in words.VERBS if v.takes in ("none", "none-human" if human else "none")])
        negated = negatable and not objects and tense != "modal" and self._chance(0.2)
        place = self._place(verb) if self._chance(0.25 if objects else 0.45) else ("", "")
        return Clause(subject, verb, "", tense, modal, objects, negated, place)

    def _phrase(self, nouns: Sequence[Noun]) -> Phrase:
        noun = self._pick([noun for noun in nouns if noun.en not in self._used])
        self._used.add(noun.en)
        plural = self._chance(0.25)
        several = ("the", "the", "my", "this", "")
        determiner = self._pick(several if plural else ("the", "the", "the", "a", "a", "my", "this"))
        adjective = self._adjective(noun.kind) if self._chance(0.35) else ""
        relative = self._relative(noun, plural) if self._may_relate and self._chance(0.15) else ("", "")
        return Phrase(noun, plural, determiner, adjective, relative)

    def _relative(self, noun: Noun, plural: bool) -> tuple[str, str]:
        """A relative clause about ``noun``: as its subject ("who sings") or as its object ("that the man buys")."""
        self._may_relate = False
        head, word = Phrase(noun, plural), "who" if noun.kind == "person" else "that"
        if noun.kind != "thing" and self._chance(0.6):
            clause = self._state(head) if self._chance(0.2) else self._clause(head)
            return clause.english(word), clause.german("last", head.form(DEFINITE, "nom"))
        verb = self._pick([verb for verb in words.TRANSITIVE if verb.takes in noun.fits])
        tense, modal = self._pick(("present", "perfect", "modal")), self._pick(tuple(words.MODALS))
        clause = Clause(self._phrase(words.PEOPLE), verb, "", tense, modal)
        pronoun = "denen" if plural and verb.case == "dat" else head.form(DEFINITE, verb.case)
        return f"{word} {clause.english()}", f"{pronoun} {clause.german('last')}"

    def _adjective(self, kind: str, taken: str = "") -> str:
        groups = {"any", "thing" if kind == "thing" else "animate", "animate" if kind == "person" else "lifeless"}
        return self._pick([en for en, (_, group) in words.ADJECTIVES.items() if group in groups and en != taken])

    def _place(self, verb: Verb) -> tuple[str, str]:
        """A prepositional phrase, English and German."""
        draw = self._random.random()
        preposition, case = ("with", "dat") if draw < 0.2 else ("for", "acc")
        if draw < 0.2 or (draw < 0.45 and verb.takes == "thing"):
            phrase = self._phrase(words.PEOPLE)
        else:
            english, german, gender, *prepositions = self._pick(words.PLACES)
            preposition, case = self._pick(prepositions), "dat"
            adjective = self._pick(("old", "small", "big", "beautiful", "new")) if self._chance(0.25) else ""
            phrase = Phrase(Noun(english, "", german, "", gender, "thing", ()), adjective=adjective)
        german = f" {words.PREPOSITIONS[preposition]} {phrase.german(case)}"
        return f"{preposition} {phrase.english()}", german.replace(" in dem ", " im ", 1).replace(" an dem ", " am ", 1)


def _finish(text: str) -> str:
    """Spaces and commas as they are written: a relative clause's last comma goes where another mark follows."""
    text = re.sub(r"[ ,]*([,.?])", r"\1", " ".join(text.split()))
    return text[0].upper() + text[1:]


def generate(seed: int = 0) -> dict[str, list[tuple[str, str]]]:
    """Pairs (English, German) of each split of SIZES; no sentence of either language occurs twice."""
    generator = random.Random(seed)
    pairs: dict[str, str] = {}  # English: German
    known: set[str] = set()
    while len(pairs) < sum(SIZES.values()):
        english, german = _Sentence(generator).draw()
        fits = all(4 <= len(text.split()) <= 22 for text in (english, german))
        if fits and english not in pairs and german not in known:
            pairs[english] = german
            known.add(german)
    rows = iter(pairs.items())
    return {split: [next(rows) for _ in range(size)] for split, size in SIZES.items()}


def write(folder: Path) -> dict[str, str]:
    """Generate the set and write ``<split>.en`` and ``<split>.de`` to ``folder``; returns {file name: SHA-256}."""
    sha256 = {}
    for split, pairs in generate().items():
        for column, language in enumerate(("en", "de")):
            content = "".join(f"{pair[column]}\n" for pair in pairs).encode()
            files.write_bytes(folder / f"{split}.{language}", content)
            sha256[f"{split}.{language}"] = hashlib.sha256(content).hexdigest()
    return sha256
