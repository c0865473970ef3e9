"""The words of the generated language pair: English and a subset of German, with all forms that the grammar needs.

Left out: the weak declension (den Jungen), irregular adjectives (hohe, teure), plurals like their singular (sheep), and
English words with two German translations: each English sentence has exactly one translation. In the tables, entries
end at ";" or at the end of a line, and "_" stands for a space.
"""

from collections import namedtuple

# gender: "m", "f" or "n" (German); kind: "person", "animal" or "thing"; fits: values of Verb.takes
Noun = namedtuple("Noun", "en en_plural de de_plural gender kind fits")
# prefix is separable: de (infinitive, and plural) and de_third lack it, de_participle has it
Verb = namedtuple("Verb", "en en_third en_participle particle de de_third de_participle prefix takes case auxiliary")


def _rows(table: str) -> list[list[str]]:
    entries = (entry.split() for line in table.splitlines() for entry in line.split(";"))
    return [[field.replace("_", " ") for field in entry] for entry in entries if entry]


def _nouns(table: str) -> tuple[Noun, ...]:
    [[kind], *rows] = _rows(table)
    fits = ["any", kind] if kind == "thing" else ["any", kind, "animate"]
    return tuple(Noun._make([*row[:5], kind, fits + row[5:]]) for row in rows)


def _verb(en: str, en_third: str, en_last: str, de: str, de_third: str, de_last: str, takes: str, *more: str) -> Verb:
    (en, _, particle), (prefix, _, de) = en.partition("+"), de.rpartition("+")
    case, auxiliary = "dat" if "dat" in more else "acc", "sein" if "sein" in more else "haben"
    return Verb(en, en_third, en_last, particle, de, de_third, de_last, prefix, takes, case, auxiliary)


# The kind; then English singular and plural, German singular and plural, gender, traits that a verb asks for.
PEOPLE = _nouns("""person
    man men Mann Männer m; woman women Frau Frauen f; child children Kind Kinder n; girl girls Mädchen Mädchen n
    teacher teachers Lehrer Lehrer m; doctor doctors Arzt Ärzte m; cook cooks Koch Köche m
    painter painters Maler Maler m; baker bakers Bäcker Bäcker m; king kings König Könige m
    queen queens Königin Königinnen f; friend friends Freund Freunde m; brother brothers Bruder Brüder m
    sister sisters Schwester Schwestern f; mother mothers Mutter Mütter f; father fathers Vater Väter m
    daughter daughters Tochter Töchter f; uncle uncles Onkel Onkel m; aunt aunts Tante Tanten f
    baby babies Baby Babys n
""")
ANIMALS = _nouns("""animal
    dog dogs Hund Hunde m; cat cats Katze Katzen f; horse horses Pferd Pferde n; bird birds Vogel Vögel m
    cow cows Kuh Kühe f; goat goats Ziege Ziegen f; pig pigs Schwein Schweine n; fox foxes Fuchs Füchse m
    duck ducks Ente Enten f; calf calves Kalb Kälber n
""")
THINGS = _nouns("""thing
    ball balls Ball Bälle m; apple apples Apfel Äpfel m; book books Buch Bücher n opens
    letter letters Brief Briefe m opens; flower flowers Blume Blumen f; picture pictures Bild Bilder n
    hat hats Hut Hüte m worn; coat coats Mantel Mäntel m worn; shirt shirts Hemd Hemden n worn
    jacket jackets Jacke Jacken f worn; bag bags Tasche Taschen f opens; bottle bottles Flasche Flaschen f opens
    box boxes Kiste Kisten f opens; car cars Auto Autos n; bicycle bicycles Fahrrad Fahrräder n
    chair chairs Stuhl Stühle m; key keys Schlüssel Schlüssel m; cup cups Tasse Tassen f; knife knives Messer Messer n
    basket baskets Korb Körbe m; lamp lamps Lampe Lampen f; egg eggs Ei Eier n
""")
NOUNS = PEOPLE + ANIMALS + THINGS

# English, German, gender, the English prepositions that may lead there (in German all with the dative).
PLACES = _rows("""
    garden Garten m in behind next_to; house Haus n in behind in_front_of next_to; kitchen Küche f in
    school Schule f in behind in_front_of; forest Wald m in behind; park Park m in next_to; city Stadt f in
    village Dorf n in; castle Schloss n in behind in_front_of; room Zimmer n in; bridge Brücke f on under next_to
    street Straße f on next_to; roof Dach n on under; mountain Berg m on behind; tree Baum m under behind next_to
    wall Mauer f on behind in_front_of; river Fluss m by; window Fenster n by; lake See m by in
    church Kirche f in behind in_front_of
""")
_PREPOSITIONS = "in in; on auf; under unter; behind hinter; in_front_of vor; next_to neben; by an; with mit; for für"
PREPOSITIONS = dict(_rows(_PREPOSITIONS))

# English, German, the nouns it may describe ("lifeless": animals and things; "animate": people and animals).
_ADJECTIVES = _rows("""
    old alt any; small klein any; big groß any; beautiful schön any; black schwarz lifeless; white weiß lifeless
    brown braun lifeless; new neu thing; red rot thing; green grün thing; blue blau thing; yellow gelb thing
    heavy schwer thing; cheap billig thing; young jung animate; tired müde animate; happy glücklich animate
    sad traurig animate; strong stark animate; clever klug animate; friendly freundlich animate; hungry hungrig animate
""")
ADJECTIVES = {en: (de, group) for en, de, group in _ADJECTIVES}

# English base+particle, third person, participle; German prefix+infinitive, third person, participle; then the kind or
# trait of its object ("none-human": none, and its subject is a person; "two": a person in the dative and a thing in the
# accusative; "clause": with dass); then "dat" for an object in the dative, and "sein" for that auxiliary.
_VERBS = _rows("""
    see sees seen sehen sieht gesehen any; buy buys bought kaufen kauft gekauft thing
    sell sells sold verkaufen verkauft verkauft thing; find finds found finden findet gefunden any
    carry carries carried tragen trägt getragen thing; take takes taken nehmen nimmt genommen thing
    forget forgets forgotten vergessen vergisst vergessen thing; look+for looks looked suchen sucht gesucht any
    paint paints painted malen malt gemalt any; wash washes washed waschen wäscht gewaschen any
    love loves loved lieben liebt geliebt animate; hear hears heard hören hört gehört animate
    visit visits visited besuchen besucht besucht animate; open opens opened auf+machen macht aufgemacht opens
    close closes closed zu+machen macht zugemacht opens; pick+up picks picked auf+heben hebt aufgehoben thing
    put+on puts put an+ziehen zieht angezogen worn; take+off takes taken aus+ziehen zieht ausgezogen worn
    look+at looks looked an+sehen sieht angesehen any; bring+along brings brought mit+bringen bringt mitgebracht any
    invite invites invited ein+laden lädt eingeladen person; help helps helped helfen hilft geholfen animate dat
    thank thanks thanked danken dankt gedankt person dat; follow follows followed folgen folgt gefolgt animate dat sein
    sleep sleeps slept schlafen schläft geschlafen none; wait waits waited warten wartet gewartet none
    play plays played spielen spielt gespielt none; eat eats eaten essen isst gegessen none
    get+up gets got auf+stehen steht aufgestanden none sein
    arrive arrives arrived an+kommen kommt angekommen none sein; run runs run laufen läuft gelaufen none sein
    stay stays stayed bleiben bleibt geblieben none sein; swim swims swum schwimmen schwimmt geschwommen none sein
    sing sings sung singen singt gesungen none-human; dance dances danced tanzen tanzt getanzt none-human
    work works worked arbeiten arbeitet gearbeitet none-human; laugh laughs laughed lachen lacht gelacht none-human
    give gives given geben gibt gegeben two; show shows shown zeigen zeigt gezeigt two
    send sends sent schicken schickt geschickt two; say says said sagen sagt gesagt clause
    think thinks thought glauben glaubt geglaubt clause; know knows known wissen weiß gewusst clause
    hope hopes hoped hoffen hofft gehofft clause
""")
VERBS = [_verb(*row) for row in _VERBS]
TRANSITIVE = [verb for verb in VERBS if verb.takes not in ("none", "none-human", "two", "clause")]

# English singular and plural, German singular and plural.
MODALS = {"can": ("can", "can", "kann", "können"), "must": ("must", "must", "muss", "müssen")}
MODALS |= {"want": ("wants to", "want to", "will", "wollen")}
SUBJUNCTIONS = {"because": "weil", "although": "obwohl", "when": "wenn"}
ADVERBS = dict(_rows("today heute; now jetzt; often oft; sometimes manchmal; here hier; every_day jeden_Tag"))
