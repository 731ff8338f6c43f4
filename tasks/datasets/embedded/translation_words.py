"""Words of English and German, with their forms and their translations."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

# The classes of the nouns (for places also the prepositions of location, @, and direction, >), then the nouns: English
# with an irregular plural after the slash, article, German with the ending of other cases, and German plural if any.
# A stranger takes no possessive.
_NOUNS = """
person he adult stranger: man/men der Mann Männer
person he stranger: boy der Junge/n Jungen
person he adult: father der Vater - | uncle der Onkel Onkel | teacher der Lehrer Lehrer
person he adult: neighbour der Nachbar/n Nachbarn | student der Student/en Studenten
person he: brother der Bruder Brüder
person she adult stranger: woman/women die Frau Frauen
person she adult: mother die Mutter - | aunt die Tante Tanten
person she: sister die Schwester Schwestern
person stranger: girl das Mädchen Mädchen
person: child/children das Kind Kinder
animal: horse das Pferd Pferde | cow die Kuh Kühe
animal eater: dog der Hund Hunde | cat die Katze Katzen | bird der Vogel Vögel
food fodder: fish der Fisch - | apple der Apfel Äpfel | pear die Birne Birnen | egg das Ei Eier
food fodder: cake der Kuchen Kuchen | potato die Kartoffel Kartoffeln
food: soup die Suppe -
drink: milk die Milch - | tea der Tee - | water das Wasser -
text: book das Buch Bücher | letter der Brief Briefe | newspaper die Zeitung Zeitungen
text: story die Geschichte Geschichten
thing opening: suitcase der Koffer Koffer | box die Kiste Kisten | bottle die Flasche Flaschen
thing: key der Schlüssel Schlüssel | picture das Bild Bilder | cup die Tasse Tassen | flower die Blume Blumen
thing cloth: hat der Hut Hüte | coat der Mantel Mäntel
thing: glass das Glas Gläser
thing toy: ball der Ball Bälle
thing machine: lamp die Lampe Lampen | clock die Uhr Uhren
furniture opening spot: door die Tür Türen | window das Fenster Fenster
furniture machine: chair der Stuhl Stühle | bed das Bett Betten
furniture machine spot: table der Tisch Tische
vehicle own machine: car das Auto Autos | bicycle das Fahrrad Fahrräder
vehicle transport: bus der Bus Busse | train der Zug Züge
place @in-in >into-in-acc: garden der Garten Gärten
place stranger @in-in >into-in-acc: park der Park Parks | forest der Wald Wälder
place building @in-in >into-in-acc: kitchen die Küche Küchen
place building home @in-in >into-in-acc: house das Haus Häuser | room das Zimmer Zimmer
place town home @in-in >into-in-acc: city die Stadt Städte | village das Dorf Dörfer
place town @in-in >to-zu-dat: school die Schule Schulen | church die Kirche Kirchen | hotel das Hotel Hotels
place town stranger @at-an >to-zu-dat: station der Bahnhof Bahnhöfe | bridge die Brücke Brücken
place water stranger @at-an >to-zu-dat: lake der See Seen | river der Fluss Flüsse
place town stranger @at-auf >to-auf-acc: market der Markt Märkte
"""

# By classes of nouns: English, German, and after the slash the stem that takes endings if it differs.
_ADJECTIVES = """
adult animal: old alt
adult town: famous berühmt
person animal: young jung | tired müde/müd | hungry hungrig
person: friendly freundlich | clever klug | sad traurig
animal thing place furniture: small klein | big groß
thing text place furniture: beautiful schön
thing vehicle text furniture: old alt | new neu
thing vehicle: red rot | expensive teuer/teur
thing furniture: heavy schwer
vehicle: fast schnell | cheap billig
animal furniture: black schwarz | white weiß
food drink: fresh frisch | cold kalt | good gut
food: cheap billig | expensive teuer/teur
drink: hot heiß
text: interesting interessant | long lang | short kurz
place: old alt
"""

# English forms (base, past and participle unless regular; "-" where the past looks like the present) with what
# follows; German forms (infinitive, third person, simple past, participle unless weak; "-" where the perfect
# renders the English past, an asterisk after the participle for "sein"); then roles and flags. S is the English
# subject (a person if it is missing), A, D and P are objects, L is a place and R a goal; "?" makes it optional.
_VERBS = """
sleep/slept/slept | schlafen/schläft/schlief/geschlafen | S=person,animal L?=place ; work | arbeiten | L?=place
get/got/got up | auf.stehen/steht/-/aufgestanden* | ; live | wohnen | L=home state
fall/fell/fallen asleep | ein.schlafen/schläft/-/eingeschlafen* | S=person,animal L?=place
come/came/come back | zurück.kommen/kommt/kam/zurückgekommen* |
arrive | an.kommen/kommt/-/angekommen* | S=person,transport L?=town
swim/swam/swum in P | schwimmen/schwimmt/-/geschwommen* | P=in+dat:water
go/went/gone | gehen/geht/ging/gegangen* | R=place ; drive/drove/driven | fahren/fährt/fuhr/gefahren* | R=town,water
see/saw/seen A | sehen/sieht/sah/gesehen | S=person,animal A=person,animal,vehicle,thing,place perception
buy/bought/bought A | kaufen | A=food,drink,text,thing,own,furniture
look for A | suchen | A=person,animal,thing,text
eat/ate/eaten A | essen/isst/aß/gegessen | A=food L?=place ; read/-/read A | lesen/liest/-/gelesen | A=text L?=place
eat/ate/eaten A | fressen/frisst/fraß/gefressen | S=eater A=fodder
drink/drank/drunk A | trinken/trinkt/trank/getrunken | A=drink L?=place
open A | auf.machen | A=opening ; close A | zu.machen | A=opening ; tidy A up | auf.räumen | A=building
call A | an.rufen/ruft/rief/angerufen | A=person ; invite A | ein.laden/lädt/-/eingeladen | A=person
take/took/taken A along | mit.nehmen/nimmt/-/mitgenommen | A=person,animal,thing,text
throw/threw/thrown A away | weg.werfen/wirft/-/weggeworfen | A=thing,text,food
repair A | reparieren/repariert/-/repariert | A=machine ; feed/fed/fed A | füttern/füttert/-/gefüttert | A=animal
carry A | tragen/trägt/trug/getragen | A=thing R?=building
know/knew/known A | kennen/kennt/kannte/gekannt | A=person,text,town state
have/had/had A | haben/hat/hatte/gehabt | A=animal,thing,text,own state
help D | helfen/hilft/half/geholfen | D=person ; listen to D | zu.hören | D=person
follow D | folgen/folgt/-/gefolgt* | S=person,animal D=person,animal,vehicle
belong to D | gehören/gehört/-/gehört | S=thing,own,animal D=person state
like A | gefallen/gefällt/gefiel/gefallen | S=dat:person A=nom:text,thing,vehicle,place state
give/gave/given D A | geben/gibt/gab/gegeben | D=person A=food,drink,text,thing
show/showed/shown D A | zeigen | D=person A=animal,text,thing,place
read/-/read A aloud to D | vor.lesen/liest/-/vorgelesen | D=person A=text
give/gave/given A back to D | zurück.geben/gibt/gab/zurückgegeben | D=person A=text,thing
wait for P | warten | P=auf+acc:person,transport L?=town ; play with P | spielen | P=mit+dat:person,animal,toy L?=place
think/thought/thought of P | denken/denkt/dachte/gedacht | P=an+acc:person,animal,text
talk about P | sprechen/spricht/sprach/gesprochen | P=über+acc:person,animal,text,place
dream of P | träumen | P=von+dat:person,animal,food,thing,vehicle,place
lie/lay/lain under P | liegen/liegt/lag/gelegen | S=thing,text,fodder P=unter+dat:machine,cloth state
stand/stood/stood at P | stehen/steht/stand/gestanden | S=machine P=an+dat:spot state
say/said/said | sagen/sagt/sagte/gesagt | that ; believe | glauben | that state ; hope | hoffen | that
know/knew/known | wissen/weiß/wusste/gewusst | that whether state ; ask | fragen/fragt/fragte/gefragt | whether
be/was/been C | sein/ist/war/gewesen* | S=person,animal,food,drink,text,thing,furniture,vehicle state
"""

# By tense, adverbials (with an exclamation mark where they do not go with "not") and adverbs for the middle.
_TIMES = """
present: every_day! jeden_Tag | in_summer im_Sommer | in_the_evening am_Abend | on_Sundays sonntags
progressive: now jetzt | today heute | at_the_moment im_Moment
past: yesterday gestern | last_week letzte_Woche | on_Monday am_Montag | two_days_ago! vor_zwei_Tagen
perfect: today heute | this_week diese_Woche
future: tomorrow morgen | next_week nächste_Woche | today heute | on_Monday am_Montag
middle present: often oft | always immer | sometimes manchmal | never nie
middle past: often oft | never nie
middle perfect: already schon | never nie
"""

# The kind of the determiners, their endings, those of an adjective after them; then English and German stem. In a
# clause with "not", German "kein" stands for "a" and for nothing.
_DETERMINERS = """
definite article weak: the -
definite strong weak: this dies | these dies
definite possessive mixed: my mein | your dein | his sein | her ihr | our unser | their ihr
no possessive mixed: no kein
negated possessive mixed: not_a kein | not kein
indefinite possessive mixed: a ein
indefinite strong strong: many viel
indefinite bare strong: - - | two zwei | three drei
"""

# Nominative, accusative and dative, each for masculine, feminine, neuter and plural.
_ENDINGS = """
article: der die das die | den die das die | dem der dem den
relative: der die das die | den die das die | dem der dem denen
strong: er e es e | en e es e | em er em en
weak: e e e en | en e e en | en en en en
mixed: er e es en | en e es en | en en en en
possessive: - e - e | en e - e | em er em en
bare: - - - - | - - - - | - - - -
"""

# English as subject and object, German by case, person and gender.
_PRONOUNS = """
I me ich mich mir 0 0 | you you du dich dir 1 0 | we us wir uns uns 3 3 | they them sie sie ihnen 3 3
he him er ihn ihm 2 0 | she her sie sie ihr 2 1 | it it es es ihm 2 2
"""
_CONTRACTIONS = "in_dem im | an_dem am | zu_dem zum | zu_der zur | in_das ins | von_dem vom"


class Pair(NamedTuple):
    """A text and its translation."""

    english: str
    german: str


class Noun(NamedTuple):
    """A noun: its forms by number and case, and its prepositions of location (L) and direction (R)."""

    english: tuple[str, str]
    german: tuple[tuple[str, ...], tuple[str, ...]]
    gender: int
    classes: frozenset[str]
    place: Mapping[str, tuple[str, str, int]]


class Verb(NamedTuple):
    """A verb: its forms, the possible fillers of its roles, and the German prepositions and cases that it governs."""

    name: str
    english: Sequence[str]
    complements: Sequence[str]
    german: Mapping[str, Sequence[str]]
    fillers: Mapping[str, Sequence[Noun]]
    governs: Mapping[str, tuple[str, int]]
    optional: frozenset[str]
    flags: frozenset[str]


class Phrase(NamedTuple):
    """A filler of a role: English as subject and object, German by case, and the features for agreement."""

    english: Sequence[str]
    german: Sequence[str]
    person: int = 2  # 0 to 2 in the singular, 3 in the plural
    gender: int = 0  # masculine, feminine, neuter, plural
    kind: str = ""
    noun: Noun | None = None
    relative: Pair = Pair("", "")


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(form.replace("_", " ").strip("- ") for form in row.split()) for row in text.split(" | ")
    )


def _table(text: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    table: dict[str, tuple[tuple[str, ...], ...]] = {}
    for line in text.strip().splitlines():
        head, _, entries = line.rpartition(": ")
        table[head] = table.get(head, ()) + _rows(entries)
    return table


def add_s(word: str) -> str:
    if re.search("[^aeiou]y$", word):
        return word[:-1] + "ies"
    return "has" if word == "have" else word + ("es" if re.search("(s|x|ch|sh|o)$", word) else "s")


def _present(infinitive: str, third: str = "") -> Sequence[str]:
    stem = re.sub("e?n$", "", infinitive)
    third = third or stem + ("et" if stem[-1] in "td" else "t")
    if third[-1] != "t":  # modal verbs and "wissen"
        return third, third + ("t" if third[-1] in "sß" else "st"), third, infinitive
    return stem + "e", third if third[-2] in "sß" else third[:-1] + "st", third, infinitive


def _past(third: str) -> Sequence[str]:
    second = third + ("est" if third[-1] in "td" else "t" if third[-1] in "sß" else "st")
    return third, second, third, third + ("n" if third[-1] == "e" else "en")


def _parse_nouns() -> Iterator[Noun]:
    for head, entries in _table(_NOUNS).items():
        place = {
            "LR"[sign == ">"]: (to, german, 1 if case == "acc" else 2)
            for sign, to, german, case in re.findall(r"([@>])(\w+)-(\w+)-?(\w*)", head)
        }
        for english, article, german, plural in entries:
            one, _, many = english.partition("/")
            oblique = german.replace("/", "")
            dative = plural + "n" if plural[-1:] not in ("", "n", "s") else plural
            forms = ((german.partition("/")[0], oblique, oblique), (plural, plural, dative))
            gender = ("der", "die", "das").index(article)
            yield Noun((one, many or add_s(one)), forms, gender, frozenset(head.split()), place)


def _parse_verbs() -> Iterator[Verb]:
    for english, german, frame in re.findall(r"(\S.*?) \| (\S+) \|(.*?)(?: ;|$)", _VERBS, re.MULTILINE):
        base, *complements = english.split()
        regular = re.sub("([^aeiou])y$", r"\1i", base.removesuffix("e")) + "ed"
        prefix, _, infinitive = german.rpartition(".")
        infinitive, *irregular = infinitive.split("/")
        present = _BE if infinitive == "sein" else _present(infinitive, *irregular[:1])
        _, past, participle = irregular or ("", "-", f"{prefix}ge{present[2]}")
        fillers: dict[str, Sequence[Noun]] = {}
        governs = {"S": ("", 0), "A": ("", 1), "D": ("", 2)}
        for role, preposition, case, classes in re.findall(r"(\w)\??=(?:(?:(\w+)\+)?(\w+):)?(\S+)", frame):
            fillers[role] = tuple(noun for noun in NOUNS.values() if noun.classes & set(classes.split(",")))
            if case:
                governs[role] = (preposition, ("nom", "acc", "dat").index(case))
        yield Verb(
            name=prefix + infinitive,
            english=base.split("/") if "/" in base else (base, regular, regular),
            complements=complements,
            german={
                "infinitive": (prefix, infinitive),
                "present": present,
                "past": () if past == "-" else _past(past),
                "perfect": (participle.strip("*"), *(_BE if "*" in participle else _present("haben", "hat"))),
            },
            fillers={"S": _PERSONS} | fillers,
            governs=governs,
            optional=frozenset(re.findall(r"(\w)\?", frame)),
            flags=frozenset(re.findall(r"(?<= )\w+(?= |$)", frame)),
        )


_BE = ("bin", "bist", "ist", "sind")
NOUNS: Mapping[str, Noun] = {noun.english[0]: noun for noun in _parse_nouns()}
_PERSONS = tuple(noun for noun in NOUNS.values() if "person" in noun.classes)
VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _parse_verbs()}
ADJECTIVES_OF = {frozenset(head.split()): entries for head, entries in _table(_ADJECTIVES).items()}
ADJECTIVES: Mapping[str, str] = {
    english: german for entries in ADJECTIVES_OF.values() for english, german in entries
}
ENDINGS = _table(_ENDINGS)
TIMES = _table(_TIMES)
CONTRACTED = {apart: contracted for apart, contracted in _rows(_CONTRACTIONS)}
_DETERMINERS_OF = {
    english: (stem, *head.split())
    for head, entries in _table(_DETERMINERS).items()
    for english, stem in entries
}
PRONOUNS = {
    row[0]: Phrase(row[:2], row[2:5], int(row[5]), int(row[6]), "pronoun") for row in _table(_PRONOUNS)[""]
}
# By tense, what English puts before the base form, and the German verb that takes the infinitive.
MODALS = {
    "can": ("can", _present("können", "kann")),
    "could": ("could", _past("konnte")),
    "should": ("should", _past("sollte")),
    "will": ("will", ("werde", "wirst", "wird", "werden")),
    "would": ("would like to", _past("möchte")),
    "want": ("want to", _present("wollen", "will")),
    "wanted": ("want to", _past("wollte")),
    "have": ("have to", _present("müssen", "muss")),
    "had": ("have to", _past("musste")),
}
NOTHING = Pair("", "")
POSSESSIVES = ("my", "your", "his", "her", "our", "their")


def join(*words: str) -> str:
    return " ".join(filter(None, words))


def phrase(determiner: str, name: str, adjective: str = "", plural: bool = False) -> Phrase:
    """Puts a noun phrase together from its English words."""
    stem, kind, endings, after = _DETERMINERS_OF[determiner]
    noun = NOUNS[name]
    gender = 3 if plural else noun.gender
    english = join(re.sub("^not ?", "", determiner), adjective, noun.english[plural])
    german = [
        join(
            stem + ENDINGS[endings][case][gender],
            adjective and ADJECTIVES[adjective].rpartition("/")[2] + ENDINGS[after][case][gender],
            noun.german[plural][case],
        )
        for case in range(3)
    ]
    return Phrase((english, english), german, 3 if plural else 2, gender, kind, noun)


def pronoun(english: str, noun: Noun | None = None) -> Phrase:
    """Returns a personal pronoun; "it" has the gender of the noun that it stands for."""
    german = PRONOUNS[("he", "she", "it")[noun.gender] if noun and english == "it" else english]
    return german._replace(english=PRONOUNS[english].english, noun=noun)


def word(english: str, german: str) -> Phrase:
    """Returns a filler without cases: an adverbial or a predicate."""
    return Phrase((english, english), (german, german, german))
