"""The grammar of the generated language pair: noun phrases and clauses, rendered in English and in German.

Every object here renders itself as plain words with single spaces; " , " marks a comma (toy_translation joins them).
Which clause forms there are, and which sentences are made of them, is said in toy_translation.
"""

from dataclasses import dataclass

from onepage.data import toy_words as words
from onepage.data.toy_words import Noun, Verb

# Case -> endings for masculine, feminine, neuter, plural.
_DEFINITE = {
    "nom": ("der", "die", "das", "die"),
    "acc": ("den", "die", "das", "die"),
    "dat": ("dem", "der", "dem", "den"),
}
_DER_ENDINGS = {"nom": ("er", "e", "es", "e"), "acc": ("en", "e", "es", "e"), "dat": ("em", "er", "em", "en")}
_EIN_ENDINGS = {"nom": ("", "e", "", "e"), "acc": ("en", "e", "", "e"), "dat": ("em", "er", "em", "en")}
_WEAK = {"nom": ("e", "e", "e", "en"), "acc": ("en", "e", "e", "en"), "dat": ("en", "en", "en", "en")}
_MIXED = {"nom": ("er", "e", "es", "en"), "acc": ("en", "e", "es", "en"), "dat": ("en", "en", "en", "en")}
_STRONG_PLURAL = {"nom": "e", "acc": "e", "dat": "en"}
_PRONOUNS = {"m": "er", "f": "sie", "n": "es"}
RELATIVE = {
    "nom": ("der", "die", "das", "die"),
    "acc": ("den", "die", "das", "die"),
    "dat": ("dem", "der", "dem", "denen"),
}


@dataclass(frozen=True)
class Phrase:
    """A noun phrase; ``determiner``: "the", "a", "my", "this" or "" (a plural without article).

    ``relative``: the relative clause that follows, in English and in German.
    """

    noun: Noun
    plural: bool = False
    determiner: str = "the"
    adjective: str = ""
    relative: tuple[str, str] | None = None

    @property
    def column(self) -> int:
        """Which column of the tables of endings: masculine, feminine, neuter, plural."""
        return 3 if self.plural else "mfn".index(self.noun.gender)

    def english(self) -> str:
        noun = self.noun.en_plural if self.plural else self.noun.en
        rest = f"{self.adjective} {noun}".strip()
        determiner = self.determiner
        if determiner == "a" and rest[0] in "aeiou":
            determiner = "an"
        elif determiner == "this" and self.plural:
            determiner = "these"
        relative = self.relative[0] if self.relative else ""
        return f"{determiner} {rest} {relative}".strip()

    def german(self, case: str) -> str:
        """The phrase in the nominative ("nom"), accusative ("acc") or dative ("dat")."""
        column = self.column
        determiner, endings = {
            "the": (_DEFINITE[case][column], _WEAK),
            "this": ("dies" + _DER_ENDINGS[case][column], _WEAK),
            "a": ("ein" + _EIN_ENDINGS[case][column], _MIXED),
            "my": ("mein" + _EIN_ENDINGS[case][column], _MIXED),
            "": ("", _MIXED),
        }[self.determiner]
        adjective = ""
        if self.adjective:
            stem = words.ADJECTIVES[self.adjective][0]
            adjective = stem + (endings[case][column] if self.determiner else _STRONG_PLURAL[case])
        noun = self.noun.de_plural if self.plural else self.noun.de
        if self.plural and case == "dat" and noun[-1] not in "ns":
            noun += "n"
        relative = f", {self.relative[1]} ," if self.relative else ""
        return " ".join(f"{determiner} {adjective} {noun} {relative}".split())


@dataclass(frozen=True)
class Pronoun:
    """he, she, it or they for ``noun``: the English one by sex, the German one by the noun's gender."""

    noun: Noun
    plural: bool = False

    def english(self) -> str:
        if self.plural:
            return "they"
        if self.noun.kind != "person" or self.noun.en in ("child", "baby"):
            return "it"
        return "he" if self.noun.gender == "m" else "she"

    def german(self, case: str) -> str:
        assert case == "nom"  # the grammar uses pronouns as subjects only
        return "sie" if self.plural else _PRONOUNS[self.noun.gender]


@dataclass(frozen=True)
class Clause:
    """Subject, verb (or predicate adjective), objects and place; rendered in the order a position asks for.

    ``tense``: "present", "perfect" or "modal"; ``objects`` with their German cases; ``place``: (English, German).
    """

    subject: Phrase | Pronoun
    verb: Verb | None = None
    predicate: str = ""
    tense: str = "present"
    modal: tuple[str, str] = ("can", "can")
    objects: tuple[tuple[Phrase, str], ...] = ()
    negated: bool = False
    place: tuple[str, str] | None = None

    def _english_verb(self) -> tuple[str, str]:
        """The finite verb and what follows it before the objects."""
        plural = self.subject.plural
        if self.verb is None:
            return "are" if plural else "is", self.predicate
        verb, particle = self.verb, self.verb.en_particle
        negation = "not " if self.negated else ""
        if self.tense == "perfect":
            return "have" if plural else "has", f"{negation}{verb.en_participle} {particle}"
        if self.tense == "modal":
            return self.modal[plural], f"{verb.en} {particle}"
        if self.negated:
            return "do" if plural else "does", f"not {verb.en} {particle}"
        return verb.en if plural else verb.en_third, particle

    def _english_end(self) -> str:
        return " ".join([phrase.english() for phrase, _ in self.objects] + ([self.place[0]] if self.place else []))

    def english(self, subject: str | None = None) -> str:
        """Subject, verb, objects; ``subject`` "" or "who" replaces the subject in a relative clause."""
        finite, rest = self._english_verb()
        return f"{self.subject.english() if subject is None else subject} {finite} {rest} {self._english_end()}"

    def english_question(self) -> str:
        finite, rest = self._english_verb()
        subject = self.subject.english()
        if self.verb is not None and self.tense == "present":
            return f"{'do' if self.subject.plural else 'does'} {subject} {self.verb.en} {rest} {self._english_end()}"
        if finite.endswith(" to"):  # wants to: Does ... want to
            return f"{'do' if self.subject.plural else 'does'} {subject} want to {rest} {self._english_end()}"
        return f"{finite} {subject} {rest} {self._english_end()}"

    def _german_parts(self) -> tuple[str, list[str], str]:
        """Finite verb, middle field, and what closes the clause (prefix, participle, infinitive or predicate)."""
        plural = self.subject.plural
        middle = [phrase.german(case) for phrase, case in self.objects]
        if self.negated:
            middle.append("nicht")
        if self.place:
            middle.append(self.place[1])
        if self.verb is None:
            return "sind" if plural else "ist", middle, words.ADJECTIVES[self.predicate][1]
        verb = self.verb
        if self.tense == "perfect":
            finite = {"haben": ("hat", "haben"), "sein": ("ist", "sind")}[verb.auxiliary][plural]
            return finite, middle, verb.de_participle
        if self.tense == "modal":
            return words.MODALS[self.modal][plural], middle, verb.de_prefix + verb.de
        return verb.de if plural else verb.de_third, middle, verb.de_prefix

    def german(self) -> str:
        """Verb second, the subject first."""
        finite, middle, closing = self._german_parts()
        return " ".join([self.subject.german("nom"), finite, *middle, closing])

    def german_inverted(self) -> str:
        """Verb before the subject: in questions, and after anything fronted."""
        finite, middle, closing = self._german_parts()
        return " ".join([finite, self.subject.german("nom"), *middle, closing])

    def german_final(self, subject: str | None = None) -> str:
        """Verb last, as in subordinate clauses; ``subject`` replaces the subject in a relative clause."""
        finite, middle, closing = self._german_parts()
        separable = self.verb is not None and self.tense == "present"  # prefix and verb are one word here
        end = closing + finite if separable else f"{closing} {finite}"
        return " ".join([self.subject.german("nom") if subject is None else subject, *middle, end])
