"""The words of the generated language pair: English and a subset of German, with all the forms the grammar needs.

Left out on purpose: nouns of the weak declension (den Jungen), irregular adjectives (hohe, teure), English nouns whose
singular and plural are the same (sheep), and any English word with two German translations, so that every English
sentence has exactly one translation.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """``gender``: "m", "f" or "n" (German); ``kind``: "person", "animal" or "thing"; ``traits``: see VERBS."""

    en: str
    en_plural: str
    de: str
    de_plural: str
    gender: str
    kind: str
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Place:
    """A noun a preposition can lead to; ``prepositions`` in English, all with the German dative."""

    en: str
    de: str
    gender: str
    prepositions: tuple[str, ...]


@dataclass(frozen=True)
class Verb:
    """English base, third person, participle and particle ("pick" ... "up"); German infinitive *without* its
    separable prefix, third persons singular and plural, participle *with* it, prefix, and auxiliary.

    ``takes``: what the object must be: "" (none), "any", "thing", "animate", or a trait; ``case`` of the object in
    German: "acc" or "dat".
    """

    en: str
    en_third: str
    en_participle: str
    en_particle: str
    de: str
    de_third: str
    de_participle: str
    de_prefix: str = ""
    takes: str = ""
    case: str = "acc"
    auxiliary: str = "haben"


def _nouns(kind: str, table: str) -> tuple[Noun, ...]:
    rows = [line.split() for line in table.strip().splitlines()]
    return tuple(Noun(row[0], row[1], row[2], row[3], row[4], kind, frozenset(row[5:])) for row in rows)


PEOPLE = _nouns(
    "person",
    """
    man men Mann Männer m
    woman women Frau Frauen f
    child children Kind Kinder n
    girl girls Mädchen Mädchen n
    teacher teachers Lehrer Lehrer m
    doctor doctors Arzt Ärzte m
    cook cooks Koch Köche m
    painter painters Maler Maler m
    baker bakers Bäcker Bäcker m
    king kings König Könige m
    queen queens Königin Königinnen f
    friend friends Freund Freunde m
    brother brothers Bruder Brüder m
    sister sisters Schwester Schwestern f
    mother mothers Mutter Mütter f
    father fathers Vater Väter m
    daughter daughters Tochter Töchter f
    uncle uncles Onkel Onkel m
    aunt aunts Tante Tanten f
    baby babies Baby Babys n
    """,
)
ANIMALS = _nouns(
    "animal",
    """
    dog dogs Hund Hunde m
    cat cats Katze Katzen f
    horse horses Pferd Pferde n
    bird birds Vogel Vögel m
    cow cows Kuh Kühe f
    goat goats Ziege Ziegen f
    pig pigs Schwein Schweine n
    fox foxes Fuchs Füchse m
    duck ducks Ente Enten f
    calf calves Kalb Kälber n
    """,
)
THINGS = _nouns(
    "thing",
    """
    ball balls Ball Bälle m
    apple apples Apfel Äpfel m
    book books Buch Bücher n opens
    letter letters Brief Briefe m opens
    flower flowers Blume Blumen f
    picture pictures Bild Bilder n
    hat hats Hut Hüte m worn
    coat coats Mantel Mäntel m worn
    shirt shirts Hemd Hemden n worn
    jacket jackets Jacke Jacken f worn
    bag bags Tasche Taschen f opens
    bottle bottles Flasche Flaschen f opens
    box boxes Kiste Kisten f opens
    car cars Auto Autos n
    bicycle bicycles Fahrrad Fahrräder n
    chair chairs Stuhl Stühle m
    key keys Schlüssel Schlüssel m
    cup cups Tasse Tassen f
    knife knives Messer Messer n
    basket baskets Korb Körbe m
    lamp lamps Lampe Lampen f
    egg eggs Ei Eier n
    """,
)
NOUNS = PEOPLE + ANIMALS + THINGS

PLACES = (
    Place("garden", "Garten", "m", ("in", "behind", "next to")),
    Place("house", "Haus", "n", ("in", "behind", "in front of", "next to")),
    Place("kitchen", "Küche", "f", ("in",)),
    Place("school", "Schule", "f", ("in", "behind", "in front of")),
    Place("forest", "Wald", "m", ("in", "behind")),
    Place("park", "Park", "m", ("in", "next to")),
    Place("city", "Stadt", "f", ("in",)),
    Place("village", "Dorf", "n", ("in",)),
    Place("castle", "Schloss", "n", ("in", "behind", "in front of")),
    Place("room", "Zimmer", "n", ("in",)),
    Place("bridge", "Brücke", "f", ("on", "under", "next to")),
    Place("street", "Straße", "f", ("on", "next to")),
    Place("roof", "Dach", "n", ("on", "under")),
    Place("mountain", "Berg", "m", ("on", "behind")),
    Place("tree", "Baum", "m", ("under", "behind", "next to")),
    Place("wall", "Mauer", "f", ("on", "behind", "in front of")),
    Place("river", "Fluss", "m", ("by",)),
    Place("window", "Fenster", "n", ("by",)),
    Place("lake", "See", "m", ("by", "in")),
    Place("church", "Kirche", "f", ("in", "behind", "in front of")),
)
PREPOSITIONS = {
    "in": "in",
    "on": "auf",
    "under": "unter",
    "behind": "hinter",
    "in front of": "vor",
    "next to": "neben",
    "by": "an",
    "with": "mit",  # dative, a companion
    "for": "für",  # accusative
}
CONTRACTIONS = {("in", "dem"): "im", ("an", "dem"): "am"}

# English: (German stem, German predicate form, what it may describe).
ADJECTIVES = {
    "old": ("alt", "alt", "any"),
    "small": ("klein", "klein", "any"),
    "big": ("groß", "groß", "any"),
    "beautiful": ("schön", "schön", "any"),
    "black": ("schwarz", "schwarz", "lifeless"),
    "white": ("weiß", "weiß", "lifeless"),
    "brown": ("braun", "braun", "lifeless"),
    "new": ("neu", "neu", "thing"),
    "red": ("rot", "rot", "thing"),
    "green": ("grün", "grün", "thing"),
    "blue": ("blau", "blau", "thing"),
    "yellow": ("gelb", "gelb", "thing"),
    "heavy": ("schwer", "schwer", "thing"),
    "cheap": ("billig", "billig", "thing"),
    "young": ("jung", "jung", "animate"),
    "tired": ("müd", "müde", "animate"),
    "happy": ("glücklich", "glücklich", "animate"),
    "sad": ("traurig", "traurig", "animate"),
    "strong": ("stark", "stark", "animate"),
    "clever": ("klug", "klug", "animate"),
    "friendly": ("freundlich", "freundlich", "animate"),
    "hungry": ("hungrig", "hungrig", "animate"),
}

TRANSITIVE = (
    Verb("see", "sees", "seen", "", "sehen", "sieht", "gesehen", takes="any"),
    Verb("buy", "buys", "bought", "", "kaufen", "kauft", "gekauft", takes="thing"),
    Verb("sell", "sells", "sold", "", "verkaufen", "verkauft", "verkauft", takes="thing"),
    Verb("find", "finds", "found", "", "finden", "findet", "gefunden", takes="any"),
    Verb("carry", "carries", "carried", "", "tragen", "trägt", "getragen", takes="thing"),
    Verb("take", "takes", "taken", "", "nehmen", "nimmt", "genommen", takes="thing"),
    Verb("forget", "forgets", "forgotten", "", "vergessen", "vergisst", "vergessen", takes="thing"),
    Verb("look", "looks", "looked", "for", "suchen", "sucht", "gesucht", takes="any"),
    Verb("paint", "paints", "painted", "", "malen", "malt", "gemalt", takes="any"),
    Verb("wash", "washes", "washed", "", "waschen", "wäscht", "gewaschen", takes="any"),
    Verb("love", "loves", "loved", "", "lieben", "liebt", "geliebt", takes="animate"),
    Verb("hear", "hears", "heard", "", "hören", "hört", "gehört", takes="animate"),
    Verb("visit", "visits", "visited", "", "besuchen", "besucht", "besucht", takes="animate"),
    Verb("open", "opens", "opened", "", "machen", "macht", "aufgemacht", "auf", takes="opens"),
    Verb("close", "closes", "closed", "", "machen", "macht", "zugemacht", "zu", takes="opens"),
    Verb("pick", "picks", "picked", "up", "heben", "hebt", "aufgehoben", "auf", takes="thing"),
    Verb("put", "puts", "put", "on", "ziehen", "zieht", "angezogen", "an", takes="worn"),
    Verb("take", "takes", "taken", "off", "ziehen", "zieht", "ausgezogen", "aus", takes="worn"),
    Verb("look", "looks", "looked", "at", "sehen", "sieht", "angesehen", "an", takes="any"),
    Verb("bring", "brings", "brought", "along", "bringen", "bringt", "mitgebracht", "mit", takes="any"),
    Verb("invite", "invites", "invited", "", "laden", "lädt", "eingeladen", "ein", takes="person"),
    Verb("help", "helps", "helped", "", "helfen", "hilft", "geholfen", takes="animate", case="dat"),
    Verb("thank", "thanks", "thanked", "", "danken", "dankt", "gedankt", takes="person", case="dat"),
    Verb("follow", "follows", "followed", "", "folgen", "folgt", "gefolgt", "", "animate", "dat", "sein"),
)
INTRANSITIVE = (
    Verb("sleep", "sleeps", "slept", "", "schlafen", "schläft", "geschlafen"),
    Verb("wait", "waits", "waited", "", "warten", "wartet", "gewartet"),
    Verb("play", "plays", "played", "", "spielen", "spielt", "gespielt"),
    Verb("eat", "eats", "eaten", "", "essen", "isst", "gegessen"),
    Verb("get", "gets", "got", "up", "stehen", "steht", "aufgestanden", "auf", auxiliary="sein"),
    Verb("arrive", "arrives", "arrived", "", "kommen", "kommt", "angekommen", "an", auxiliary="sein"),
    Verb("run", "runs", "run", "", "laufen", "läuft", "gelaufen", auxiliary="sein"),
    Verb("stay", "stays", "stayed", "", "bleiben", "bleibt", "geblieben", auxiliary="sein"),
    Verb("swim", "swims", "swum", "", "schwimmen", "schwimmt", "geschwommen", auxiliary="sein"),
)
PEOPLE_ONLY = (  # what animals do not do
    Verb("sing", "sings", "sung", "", "singen", "singt", "gesungen"),
    Verb("dance", "dances", "danced", "", "tanzen", "tanzt", "getanzt"),
    Verb("work", "works", "worked", "", "arbeiten", "arbeitet", "gearbeitet"),
    Verb("laugh", "laughs", "laughed", "", "lachen", "lacht", "gelacht"),
)
DITRANSITIVE = (  # a person in the dative, a thing in the accusative
    Verb("give", "gives", "given", "", "geben", "gibt", "gegeben"),
    Verb("show", "shows", "shown", "", "zeigen", "zeigt", "gezeigt"),
    Verb("send", "sends", "sent", "", "schicken", "schickt", "geschickt"),
)
THINKING = (  # followed by a dass-clause
    Verb("say", "says", "said", "", "sagen", "sagt", "gesagt"),
    Verb("think", "thinks", "thought", "", "glauben", "glaubt", "geglaubt"),
    Verb("know", "knows", "known", "", "wissen", "weiß", "gewusst"),
    Verb("hope", "hopes", "hoped", "", "hoffen", "hofft", "gehofft"),
)
# English (singular, plural): German (singular, plural).
MODALS = {
    ("can", "can"): ("kann", "können"),
    ("must", "must"): ("muss", "müssen"),
    ("wants to", "want to"): ("will", "wollen"),
}
SUBJUNCTIONS = {"because": "weil", "although": "obwohl", "when": "wenn"}
CONJUNCTIONS = {"and": "und", "but": "aber"}
ADVERBS = {
    "today": "heute",
    "now": "jetzt",
    "often": "oft",
    "sometimes": "manchmal",
    "here": "hier",
    "every day": "jeden Tag",
}
