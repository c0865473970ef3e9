"""Generated stand-in for Multi30k: a toy grammar of English and a German-like language, in parallel.

Its German is a subset of real German, with what makes word order and agreement worth attending to:

* gender and case: der/die/das, ein/eine, mein, dieser; nominative, accusative, dative, plurals; weak, mixed and strong
  adjective endings; in dem -> im, an dem -> am; verbs with a dative object (helfen, danken, folgen);
* main clauses have the finite verb second, also after a fronted adverb or clause ("Heute sieht der Mann ..."), and
  first in questions; separable prefixes go to the end ("Der Mann macht das Buch auf.");
* perfect and modals put participle and infinitive last ("hat den Hund gesehen", "kann den Hund sehen"), with "sein" for
  some verbs ("ist gekommen");
* subordinate clauses (weil, obwohl, wenn, dass, relative) end with the finite verb ("..., weil er den Hund gesehen
  hat"); relative pronouns and er/sie/es/sie agree with the German gender of what they refer to.

    Sentence -> Clause | Question | Clause, weil|obwohl Clause | Wenn Clause, Clause | Clause, und|aber Clause
              | NP thinks, dass Clause | NP is Adjective [, weil Clause]
    Clause   -> [Adverb] NP Verb [NP | NP NP | Negation] [PP]      present, perfect or modal
    NP       -> (the | a | my | this) [Adjective] Noun [RelativeClause]
    PP       -> in|on|under|... the [Adjective] Place  |  with NP

Every English sentence has one translation; sentences have 4 to 22 words in both languages; no sentence of either
language occurs twice, so none of the test split occurs in the training split. The draws use only ``random.random``,
whose stream Python keeps the same in every version: the same bytes everywhere.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from onepage import files
from onepage.data import toy_words as words
from onepage.data.toy_grammar import RELATIVE, Clause, Phrase, Pronoun
from onepage.data.toy_words import Noun, Place, Verb

VERSION = 1  # raise it with any change of the sentences: sets on disk are then generated again
SEED = 0
SIZES = {"train": 6_000, "val": 300, "test": 500}
DISK_BYTES = 850_000  # about
SHORTEST, LONGEST = 4, 22  # words of a sentence

T = TypeVar("T")


class _Speaker:
    """Draws sentences. One relative clause a sentence at most, and no noun twice in one."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._used: set[str] = set()
        self._may_relate = True

    def _pick(self, choices: Sequence[T]) -> T:
        return choices[int(self._random.random() * len(choices))]

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def sentence(self) -> tuple[str, str]:
        """One sentence in English and German, as text."""
        self._used.clear()
        self._may_relate = True
        kinds: tuple[tuple[float, Callable[[], tuple[str, str]]], ...] = (
            (0.30, self._plain),
            (0.12, self._fronted_adverb),
            (0.08, self._question),
            (0.20, self._subordinate),
            (0.07, self._fronted_clause),
            (0.07, self._coordinated),
            (0.11, self._reported),
            (1.00, self._predicative),  # the rest
        )
        draw = self._random.random()
        for share, kind in kinds:
            draw -= share
            if draw < 0:
                english, german = kind()
                return _finish(english), _finish(german)
        raise AssertionError("the last share takes every draw that is left")

    def _plain(self) -> tuple[str, str]:
        clause = self._clause()
        return f"{clause.english()} .", f"{clause.german()} ."

    def _fronted_adverb(self) -> tuple[str, str]:
        clause = self._clause(tenses=("present", "present", "modal"))
        adverb = self._pick(tuple(words.ADVERBS))
        return f"{adverb} {clause.english()} .", f"{words.ADVERBS[adverb]} {clause.german_inverted()} ."

    def _question(self) -> tuple[str, str]:
        clause = self._clause(negatable=False)
        return f"{clause.english_question()} ?", f"{clause.german_inverted()} ?"

    def _subordinate(self) -> tuple[str, str]:
        main = self._clause()
        subject = Pronoun(main.subject.noun, main.subject.plural) if self._chance(0.6) else None
        clause = self._state(subject) if self._chance(0.3) else self._clause(subject)
        word = self._pick(tuple(words.SUBJUNCTIONS))
        german = f"{main.german()} , {words.SUBJUNCTIONS[word]} {clause.german_final()} ."
        return f"{main.english()} {word} {clause.english()} .", german

    def _fronted_clause(self) -> tuple[str, str]:
        first, second = self._clause(), self._clause()
        german = f"wenn {first.german_final()} , {second.german_inverted()} ."
        return f"when {first.english()} , {second.english()} .", german

    def _coordinated(self) -> tuple[str, str]:
        first, second = self._clause(), self._clause()
        word, comma = self._pick((("and", ""), ("but", ",")))
        german = f"{first.german()} {comma} {words.CONJUNCTIONS[word]} {second.german()} ."
        return f"{first.english()} {comma} {word} {second.english()} .", german

    def _reported(self) -> tuple[str, str]:
        who = Clause(self._phrase(words.PEOPLE), self._pick(words.THINKING))
        what = self._clause()
        return f"{who.english()} that {what.english()} .", f"{who.german()} , dass {what.german_final()} ."

    def _predicative(self) -> tuple[str, str]:
        clause = self._state(None)
        return f"{clause.english()} .", f"{clause.german()} ."

    def _state(self, subject: Phrase | Pronoun | None) -> Clause:
        subject = subject or self._phrase(words.NOUNS)
        taken = subject.adjective if isinstance(subject, Phrase) else ""
        return Clause(subject, predicate=self._adjective(subject.noun.kind, taken))

    def _clause(
        self,
        subject: Phrase | Pronoun | None = None,
        tenses: tuple[str, ...] = ("present", "present", "perfect", "perfect", "modal"),
        negatable: bool = True,
    ) -> Clause:
        """A clause with a verb; its subject, unless given, is a person or, less often, an animal."""
        subject = subject or self._phrase(words.PEOPLE if self._chance(0.65) else words.ANIMALS)
        tense, modal = self._pick(tenses), self._pick(tuple(words.MODALS))
        draw = self._random.random()
        objects: tuple[tuple[Phrase, str], ...] = ()
        negated = False
        human = subject.noun.kind == "person"
        if draw < 0.12 and human:
            verb = self._pick(words.DITRANSITIVE)
            objects = ((self._phrase(words.PEOPLE), "dat"), (self._phrase(words.THINGS), "acc"))
        elif draw < 0.65 and human:
            verb = self._pick(words.TRANSITIVE)
            objects = ((self._object(verb), verb.case),)
        elif draw < 0.5:
            verb = self._pick([v for v in words.TRANSITIVE if v.takes in ("any", "animate") and not v.de_prefix])
            objects = ((self._object(verb), verb.case),)
        else:
            verb = self._pick(words.INTRANSITIVE + (words.PEOPLE_ONLY if human else ()))
            negated = negatable and tense != "modal" and self._chance(0.2)
        place = self._place(verb) if self._chance(0.45 if not objects else 0.25) else None
        return Clause(subject, verb, "", tense, modal, objects, negated, place)

    def _object(self, verb: Verb) -> Phrase:
        kinds = {
            "any": words.NOUNS,
            "thing": words.THINGS,
            "animate": words.PEOPLE + words.ANIMALS,
            "person": words.PEOPLE,
        }
        return self._phrase(kinds.get(verb.takes) or [noun for noun in words.THINGS if verb.takes in noun.traits])

    def _phrase(self, nouns: Sequence[Noun]) -> Phrase:
        noun = self._pick([noun for noun in nouns if noun.en not in self._used])
        self._used.add(noun.en)
        plural = self._chance(0.25)
        determiner = self._pick(
            ("the", "the", "my", "this", "") if plural else ("the", "the", "the", "a", "a", "my", "this")
        )
        adjective = self._adjective(noun.kind) if self._chance(0.35) else ""
        relative = None
        if self._may_relate and self._chance(0.15):
            self._may_relate = False
            relative = self._relative(noun, plural)
        return Phrase(noun, plural, determiner, adjective, relative)

    def _relative(self, noun: Noun, plural: bool) -> tuple[str, str]:
        """A relative clause about ``noun``: as its subject ("who sings") or as its object ("that the man buys")."""
        head = Phrase(noun, plural)
        word = "who" if noun.kind == "person" else "that"
        if noun.kind != "thing" and self._chance(0.6):
            clause = self._state(head) if self._chance(0.2) else self._clause(head)
            pronoun = RELATIVE["nom"][head.column]
            return clause.english(subject=word), clause.german_final(subject=pronoun)
        fitting = {"any", noun.kind, *noun.traits} | ({"animate"} if noun.kind != "thing" else set())
        verb = self._pick([verb for verb in words.TRANSITIVE if verb.takes in fitting])
        tense, modal = self._pick(("present", "perfect", "modal")), self._pick(tuple(words.MODALS))
        clause = Clause(self._phrase(words.PEOPLE), verb, "", tense, modal)
        return f"{word} {clause.english()}", f"{RELATIVE[verb.case][head.column]} {clause.german_final()}"

    def _adjective(self, kind: str, taken: str = "") -> str:
        groups = {
            "person": ("any", "animate"),
            "animal": ("any", "animate", "lifeless"),
            "thing": ("any", "lifeless", "thing"),
        }
        fitting = [en for en, (_, _, group) in words.ADJECTIVES.items() if group in groups[kind] and en != taken]
        return self._pick(fitting)

    def _place(self, verb: Verb) -> tuple[str, str]:
        """A prepositional phrase, English and German."""
        draw = self._random.random()
        if draw < 0.2:
            return self._with("with", "dat")
        if draw < 0.45 and verb.takes == "thing":
            return self._with("for", "acc")
        place: Place = self._pick(words.PLACES)
        preposition = self._pick(place.prepositions)
        noun = Noun(place.en, "", place.de, "", place.gender, "thing")
        adjective = self._pick(("old", "small", "big", "beautiful", "new")) if self._chance(0.25) else ""
        phrase = Phrase(noun, adjective=adjective)
        german, rest = words.PREPOSITIONS[preposition], phrase.german("dat")
        article, _, tail = rest.partition(" ")
        if (german, article) in words.CONTRACTIONS:
            german, rest = words.CONTRACTIONS[german, article], tail
        return f"{preposition} {phrase.english()}", f"{german} {rest}"

    def _with(self, preposition: str, case: str) -> tuple[str, str]:
        phrase = self._phrase(words.PEOPLE)
        return f"{preposition} {phrase.english()}", f"{words.PREPOSITIONS[preposition]} {phrase.german(case)}"


def _finish(text: str) -> str:
    """Spaces and commas as they are written: a relative clause's last comma goes where another mark follows."""
    tokens: list[str] = []
    for token in text.split():
        if tokens and tokens[-1] == "," and token in ",.?":
            tokens.pop()
        tokens.append(token)
    joined = "".join(token if token in ",.?" else f" {token}" for token in tokens).strip()
    return joined[0].upper() + joined[1:]


def generate(seed: int = SEED) -> dict[str, list[tuple[str, str]]]:
    """Pairs (English, German) of each split of SIZES; no sentence of either language occurs twice."""
    speaker = _Speaker(seed)
    seen: tuple[set[str], set[str]] = set(), set()
    pairs: list[tuple[str, str]] = []
    while len(pairs) < sum(SIZES.values()):
        pair = speaker.sentence()
        fits = all(SHORTEST <= len(text.split()) <= LONGEST for text in pair)
        if fits and not any(text in known for text, known in zip(pair, seen, strict=True)):
            pairs.append(pair)
            for text, known in zip(pair, seen, strict=True):
                known.add(text)
    splits, start = {}, 0
    for split, size in SIZES.items():
        splits[split] = pairs[start : start + size]
        start += size
    return splits


def write(folder: Path) -> dict[str, str]:
    """Generate the set and write ``<split>.en`` and ``<split>.de`` to ``folder``; returns {file name: SHA-256}."""
    sha256 = {}
    for split, pairs in generate().items():
        for column, language in enumerate(("en", "de")):
            content = "".join(f"{pair[column]}\n" for pair in pairs).encode()
            files.write_bytes(folder / f"{split}.{language}", content)
            sha256[f"{split}.{language}"] = hashlib.sha256(content).hexdigest()
    return sha256
