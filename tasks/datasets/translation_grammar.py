"""A synchronous grammar of English and German: every rule builds an English text and its translation together.

German moves verbs, objects and adverbs over distance, and its words agree in gender, case and number. Whatever
English leaves open, the grammar avoids, so that an English sentence has only one translation.

A combination is a verb with the noun of an object, or an adjective with its noun. A hash assigns each of them to
a split, so that every sentence of a split other than "train" has one that "train" lacks.
"""

import collections
import contextlib
import functools
import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple, TypeVar

# The classes of the nouns (for places also how one is there, @, and gets there, >), then the nouns: English with
# an irregular plural after the slash, article, German with the ending of other cases, and German plural if any.
# What is a stranger takes no possessive.
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
    """A noun: its forms by number and case, and how one is there (L) or gets there (R) in both languages."""

    english: tuple[str, str]
    german: tuple[tuple[str, ...], tuple[str, ...]]
    gender: int
    classes: frozenset[str]
    place: Mapping[str, tuple[str, str, int]]


class Verb(NamedTuple):
    """A verb: its forms, what may fill its roles, and the German prepositions and cases that it governs."""

    name: str
    english: Sequence[str]
    complements: Sequence[str]
    german: Mapping[str, Sequence[str]]
    fillers: Mapping[str, Sequence[Noun]]
    governs: Mapping[str, tuple[str, int]]
    optional: frozenset[str]
    flags: frozenset[str]


class Phrase(NamedTuple):
    """What fills a role: English as subject and as object, German by case, and what other words agree with."""

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


def _add_s(word: str) -> str:
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
            yield Noun((one, many or _add_s(one)), forms, gender, frozenset(head.split()), place)


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
_ADJECTIVES_OF = {frozenset(head.split()): entries for head, entries in _table(_ADJECTIVES).items()}
_STEMS = dict(entry for entries in _ADJECTIVES_OF.values() for entry in entries)
_ENDINGS_OF = _table(_ENDINGS)
_TIMES_OF = _table(_TIMES)
_CONTRACTED = dict(_rows(_CONTRACTIONS))
_DETERMINERS_OF = {
    english: (stem, *head.split())
    for head, entries in _table(_DETERMINERS).items()
    for english, stem in entries
}
_PRONOUNS_OF = {
    row[0]: Phrase(row[:2], row[2:5], int(row[5]), int(row[6]), "pronoun") for row in _table(_PRONOUNS)[""]
}
# By tense, what English puts before the base form, and the German verb that takes the infinitive.
_MODALS = {
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
_NOTHING = Pair("", "")
_POSSESSIVES = ("my", "your", "his", "her", "our", "their")
_T = TypeVar("_T")


def _join(*words: str) -> str:
    return " ".join(filter(None, words))


def phrase(determiner: str, name: str, adjective: str = "", plural: bool = False) -> Phrase:
    """Puts a noun phrase together from English words."""
    stem, kind, endings, after = _DETERMINERS_OF[determiner]
    noun = NOUNS[name]
    gender = 3 if plural else noun.gender
    english = _join(re.sub("^not ?", "", determiner), adjective, noun.english[plural])
    german = [
        _join(
            stem + _ENDINGS_OF[endings][case][gender],
            adjective and _STEMS[adjective].rpartition("/")[2] + _ENDINGS_OF[after][case][gender],
            noun.german[plural][case],
        )
        for case in range(3)
    ]
    return Phrase((english, english), german, 3 if plural else 2, gender, kind, noun)


def pronoun(english: str, noun: Noun | None = None) -> Phrase:
    """Returns a personal pronoun; "it" has the gender of the noun that it stands for."""
    german = _PRONOUNS_OF[("he", "she", "it")[noun.gender] if noun and english == "it" else english]
    return german._replace(english=_PRONOUNS_OF[english].english, noun=noun)


def word(english: str, german: str) -> Phrase:
    """Returns a word without forms: a time (role T), an adverb in the middle (O) or a predicate (C)."""
    return Phrase((english, english), (german, german, german))


class Clause(NamedTuple):
    """A verb with what fills its roles; as a statement it begins with the role `front`."""

    verb: Verb
    tense: str
    roles: Mapping[str, Phrase]
    negated: bool = False
    front: str = "S"

    def english(self, lead: str = "", gap: str = "", inverted: bool = False) -> str:
        """Returns the English clause after `lead` and without the role `gap`."""
        order = tuple(self.verb.complements)
        if order == ("D", "A") and (gap == "D" or self.roles["A"].kind == "pronoun"):
            order = ("A", "to", "D")
        elif len(order) == 2 and order[0] == "A" and self.roles["A"].relative.english:
            order = order[::-1]
        texts = {role: self.english_role(role) for role in self.roles if role != gap} | {gap: ""}
        helper, main = self._english_verbs(inverted or self.negated)
        start = (helper, texts["S"]) if inverted else (texts["S"], helper)
        middle = ("not" if self.negated else "", texts.get("O", ""), main)
        ends = (*(texts.get(part, part) for part in order), *(texts.get(role, "") for role in "LRT"))
        return _join(lead, *start, *middle, *ends)

    def german(self, lead: str = "", gap: str = "", final: bool = False) -> str:
        """Returns the German clause after `lead` and without the role `gap`; `final` puts the verb at the end."""
        order = sorted((role for role in self.roles if role != gap), key=self._rank)
        middle = [self.german_role(role) for role in order]
        if self.negated and all(self.roles[role].kind != "negated" for role in order):
            middle.insert(sum(self._rank(role) < 8 for role in order), "nicht")
        last, *relative = middle.pop() if middle else "", ""
        if order[-1:] != ["S"]:
            # The relative clause leaves its noun and follows the verb.
            last, *relative = last.partition(",")
        finite, end = self._german_verbs()
        if not final:
            return _join(lead, finite, *middle, last, end, *relative)
        verbs = end + finite if end == self.verb.german["infinitive"][0] else _join(end, finite)
        return _join(lead, *middle, last, verbs, *relative)

    def english_role(self, role: str) -> str:
        """Returns what fills a role in English."""
        filler = self.roles[role]
        preposition = filler.noun.place[role][0] if role in "LR" else ""
        return _join(preposition, filler.english[role != "S"], filler.relative.english)

    def german_role(self, role: str) -> str:
        """Returns what fills a role in German, with commas around a relative clause."""
        filler, (preposition, case) = self.roles[role], self._government(role)
        article, _, rest = filler.german[case].partition(" ")
        start = _join(preposition, article)
        # Before a relative clause, the article is too weighty to melt into the preposition.
        if not filler.relative.german:
            start = _CONTRACTED.get(start, start)
        return _join(start, rest) + filler.relative.german

    def statement(self, lead: Pair = _NOTHING) -> Pair:
        """Returns a main clause, after the subordinate clause `lead` if there is one."""
        if lead != _NOTHING:
            return Pair(self.english(f"{lead.english},"), self.german(lead.german))
        if self.front == "S":
            return Pair(self.english(), self.german(self.german_role(self._nominative), self._nominative))
        english = self.english_role(self.front) + ("," if self.front == "L" else "")
        return Pair(self.english(english, self.front), self.german(self.german_role(self.front), self.front))

    def question(self, lead: Pair = _NOTHING, gap: str = "") -> Pair:
        """Returns a question that asks for the role `gap` by the words `lead`, or else for yes or no."""
        return Pair(self.english(lead.english, gap, inverted=gap != "S"), self.german(lead.german, gap))

    def subordinate(self, english: str, german: str) -> Pair:
        """Returns a subordinate clause after its conjunction."""
        return Pair(self.english(english), f", {self.german(german, final=True)},")

    def relative(self, gap: str) -> Pair:
        """Returns the clause as a relative clause of what fills the role `gap`."""
        antecedent, (preposition, case) = self.roles[gap], self._government(gap)
        person = antecedent.noun is not None and "person" in antecedent.noun.classes
        english = "where" if gap == "L" else "who" if gap == "S" and person else "that"
        german = _join(preposition, _ENDINGS_OF["relative"][case][antecedent.gender])
        return Pair(self.english(english, gap), f", {self.german(german, gap, final=True)},")

    @property
    def _nominative(self) -> str:
        return "S" if self.verb.governs["S"] == ("", 0) else "A"

    def _government(self, role: str) -> tuple[str, int]:
        return self.roles[role].noun.place[role][1:] if role in "LR" else self.verb.governs.get(role, ("", 0))

    def _rank(self, role: str) -> int:
        """Returns where a role stands between the finite verb and the other verbs in German; "nicht" has 8."""
        if role in "TOPLRC":
            return {"T": 7 if self.negated else 4, "O": 8, "L": 9, "P": 11, "R": 12, "C": 13}[role]
        kind, case = self.roles[role].kind, self._government(role)[1]
        if kind == "pronoun" or (role == "S" and case == 0):
            return case
        return 10 if case == 1 and kind != "definite" else (3, 6, 5)[case]

    def _english_verbs(self, helped: bool) -> tuple[str, str]:
        tense, person, (base, past, participle) = self.tense, self.roles["S"].person, self.verb.english
        if tense in _MODALS:
            helper, _, link = _MODALS[tense][0].partition(" ")
            if helper not in ("want", "have"):
                return helper, _join(link, base)
            base, past = f"{helper} to {base}", f"{tense} to {base}"
            tense = "past" if tense in ("wanted", "had") else "present"
        be = {0: "am", 2: "is"}.get(person, "are")
        if tense == "progressive":
            return be, base + base[-1] + "ing" if base in ("get", "swim") else re.sub("e$", "", base) + "ing"
        if tense == "perfect":
            return "has" if person == 2 else "have", participle
        if base == "be":
            return (be if tense == "present" else "was" if person in (0, 2) else "were"), ""
        if helped:
            return ("did" if tense == "past" else "does" if person == 2 else "do"), base
        if tense == "present" and person == 2:
            base = re.sub(r"^\w+", lambda match: _add_s(match[0]), base)
        return "", past if tense == "past" else base

    def _german_verbs(self) -> tuple[str, str]:
        german, person = self.verb.german, self.roles[self._nominative].person
        prefix, infinitive = german["infinitive"]
        if self.tense in _MODALS:
            return _MODALS[self.tense][1][person], prefix + infinitive
        if self.tense == "perfect" or (self.tense == "past" and not german["past"]):
            return german["perfect"][1:][person], german["perfect"][0]
        return german["past" if self.tense == "past" else "present"][person], prefix


def interrogative(verb: Verb, role: str, person: bool) -> Pair:
    """Returns the word that asks for a role of a verb."""
    if role in "LR":
        return Pair("where", "wo" if role == "L" else "wohin")
    preposition, case = verb.governs[role]
    if person:
        return Pair("who", _join(preposition, ("wer", "wen", "wem")[case]))
    return Pair("what", "wo" + "r" * (preposition[0] in "aeiouü") + preposition if preposition else "was")


def _chain(first: Pair, second: Pair) -> Pair:
    return Pair(f"{first.english} {second.english}", f"{first.german} {second.german}")


def finish(pair: Pair, mark: str = ".") -> Pair:
    """Returns a sentence with its capital, commas and closing mark."""
    english = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", pair.english.replace(" can not ", " cannot "))
    texts = (re.sub("( *,)+ *", ", ", text).strip(" ,") for text in (english, pair.german))
    return Pair(*(text[0].upper() + text[1:] + mark for text in texts))


class Sentence(NamedTuple):
    """A sentence with its translation, and the combinations in it, named by their German words."""

    pair: Pair
    combinations: frozenset[tuple[str, str]]


class _DeadEndError(Exception):
    """No word is left for what was begun."""


_PRESENT = ("present",) * 5 + ("progressive",) * 4 + ("perfect",) * 4
_FUTURE = ("will",) * 3 + ("can", "should", "would", "want", "have")
_PAST = ("past",) * 8 + ("could", "wanted", "had")
_REPORTING = tuple(verb for verb in VERBS.values() if verb.flags & {"that", "whether"})
_BEING = (VERBS["sein"],)
_ORDINARY = tuple(verb for name, verb in VERBS.items() if verb not in _REPORTING and name != "sein")
_PASSING = ("tired", "hungry", "sad", "cold", "hot")
_KINDS = {  # of the determiners in each role
    "S": ("definite",) * 18 + ("indefinite",) * 8 + ("no",),
    "A": ("definite",) * 14 + ("indefinite",) * 12 + ("no",),
    "P": ("definite",) * 4 + ("indefinite",) * 2,
    "L": ("definite",) * 5 + ("indefinite",),
    "R": ("definite",) * 5 + ("indefinite",),
}
_SHORTEST, _LONGEST = 4, 25
# A form is familiar when so many of the first training pairs have it.
_FAMILIAR_COUNT, _FAMILIAR_PAIRS = 5, 10_000


@functools.cache
def split_of(combination: tuple[str, str]) -> str:
    """Returns the split of a combination; those of "train" may occur in every split, others only in theirs."""
    # With this separator, "train" has half of the combinations of every word or more.
    digest = hashlib.blake2b("~".join(combination).encode(), digest_size=8).digest()
    return {0: "validation", 1: "test"}.get(int.from_bytes(digest) % 10, "train")


@functools.cache
def _adjectives(name: str) -> Sequence[str]:
    rows = [entries for classes, entries in _ADJECTIVES_OF.items() if classes & NOUNS[name].classes]
    return [english for entries in rows for english, _ in entries]


@functools.cache
def _gaps(name: str) -> Sequence[tuple[Verb, str]]:
    gaps = [(verb, role) for verb in _ORDINARY + _BEING for role in verb.fillers if role != "R"]
    return [(verb, role) for verb, role in gaps if any(noun is NOUNS[name] for noun in verb.fillers[role])]


class _Writer:
    """Writes one sentence at random."""

    def __init__(self, rng: random.Random, split: str) -> None:
        self._rng, self._split = rng, split
        self._combinations: set[tuple[str, str]] = set()
        self._used: set[str] = set()
        self._mentions: list[Phrase] = []
        self._known: Sequence[Phrase] = ()  # the mentions that a pronoun may stand for
        self._neuters = 0  # how many nouns "it" could stand for
        self._has_it = False
        self._nested = False
        self._times_left, self._relatives_left = 1, 2

    def sentence(self) -> Sentence:
        """Writes a sentence of the split, or raises _DeadEndError."""
        kinds = {self._plain: 8, self._question: 6, self._subordinate: 10, self._report: 4}
        pair = self._rng.choices(list(kinds), list(kinds.values()))[0]()
        fits = self._split == "train" or self._split in map(split_of, self._combinations)
        unambiguous = self._neuters < 2 or not self._has_it
        lengths = [len(text.split()) for text in pair]
        if not (fits and unambiguous and _SHORTEST <= min(lengths) and max(lengths) <= _LONGEST):
            raise _DeadEndError
        return Sentence(pair, frozenset(self._combinations))

    def _plain(self) -> Pair:
        return finish(self._clause(self._tenses(), self._mostly_ordinary(), main=True).statement())

    def _question(self) -> Pair:
        if self._chance(0.4):
            return finish(self._clause(self._tenses(), self._mostly_ordinary()).question(), "?")
        if self._chance(0.2):
            return finish(self._clause(self._tenses()).question(Pair("why", "warum")), "?")
        verb = self._pick(_ORDINARY)
        role = self._pick(list(verb.fillers))
        classes = self._pick(verb.fillers[role]).classes
        if role == "S" and "animal" in classes:
            raise _DeadEndError
        asked = interrogative(verb, role, "person" in classes)
        return finish(self._clause(self._tenses(), (verb,), {role: pronoun("he")}).question(asked, role), "?")

    def _subordinate(self) -> Pair:
        tenses = self._tenses()
        inner = tenses if tenses is _PAST else (*tenses, *_PAST[:4])
        english = self._pick(("because", "because", "although", "when", "when", "if"))
        german = {"because": "weil", "although": "obwohl"}.get(english, "wenn")
        if german == "wenn" and tenses is _PAST:
            english, german, inner = "when", "als", ("past",)
        elif german == "wenn":
            tenses, inner = ("present", *_FUTURE), ("present",)
        times = german in ("weil", "obwohl")
        fronted = self._chance(0.35)
        verbs = _BEING if self._chance(0.2 if fronted else 0.45) else _ORDINARY
        if fronted:
            self._times_left *= times
            first = self._clause(inner, verbs).subordinate(english, german)
            self._known = tuple(self._mentions)
            return finish(self._clause(tenses).statement(first))
        first = self._clause(tenses, main=True).statement()
        self._times_left *= times
        self._known = tuple(self._mentions)
        return finish(_chain(first, self._clause(inner, verbs).subordinate(english, german)))

    def _report(self) -> Pair:
        tenses = self._tenses()
        clause = self._clause(tenses, _REPORTING, main=True)
        english = self._pick(sorted(clause.verb.flags & {"that", "whether"}))
        self._known = tuple(self._mentions)
        inner = self._clause(("past",) if tenses is _PAST else (*tenses, *_PAST[:4]), _ORDINARY + _BEING)
        content = inner.subordinate(english, "dass" if english == "that" else "ob")
        if clause.front == "S" and self._chance(0.2):
            return finish(_chain(clause.question(), content), "?")
        return finish(_chain(clause.statement(), content))

    def _clause(
        self,
        tenses: Sequence[str],
        verbs: Sequence[Verb] = _ORDINARY,
        given: Mapping[str, Phrase] | None = None,
        main: bool = False,
    ) -> Clause:
        """Makes a clause, some roles of which may be `given`; a main clause may begin with a time or a place."""
        verb, roles = self._pick(verbs), dict(given or {})
        required = [
            role for role in ("S", *verb.complements, "L", "R") if role in verb.fillers.keys() - verb.optional
        ]
        negated, heavy = False, verb in _REPORTING
        for role in verb.fillers:
            if role not in roles and not (role in verb.optional and (heavy or self._chance(0.6))):
                roles[role] = self._fill(verb, role, roles, negated)
                if role in ("S", required[-1]) and roles[role].kind != "pronoun" and self._chance(0.15):
                    roles[role] = self._with_relative(roles[role], tenses)
                    heavy = heavy or role != "S"
            if role == "S":
                negated = self._chance(0.15) and (
                    role in (given or {}) or roles[role].kind in ("pronoun", "definite")
                )
        tense = self._pick([tense for tense in tenses if _suits(verb, tense, roles["S"])])
        if verb in _BEING:
            roles["C"] = self._predicate(roles["S"])
        clause = Clause(verb, tense, roles, negated)
        if "state" in verb.flags and ("C" not in roles or roles["C"].english[0] not in _PASSING):
            return clause
        timely = tense == "past" if self._nested else self._times_left and (main or not heavy)
        if timely and self._chance(0.4):
            self._times_left -= not self._nested
            times = _TIMES_OF.get(tense) or _TIMES_OF["past" if tense in _PAST else "future"]
            time, german = self._pick([time for time in times if not (negated and "!" in time[0])])
            roles["T"] = word(time.rstrip("!"), german)
            return clause._replace(front="T" if main and (heavy or self._chance(0.4)) else "S")
        if main and "L" in verb.optional & roles.keys() and not negated and self._chance(0.4):
            return clause._replace(front="L")
        plain = not negated and not heavy and all(filler.kind != "no" for filler in roles.values())
        if plain and f"middle {tense}" in _TIMES_OF and self._chance(0.2):
            roles["O"] = word(*self._pick(_TIMES_OF[f"middle {tense}"]))
        return clause

    def _fill(self, verb: Verb, role: str, roles: Mapping[str, Phrase], negated: bool) -> Phrase:
        """Returns a pronoun or a noun phrase for a role."""
        known = [stand_in for mention in self._known if (stand_in := _stand_in(mention, verb, role))]
        person = role not in "LR" and "person" in verb.fillers[role][0].classes
        if (known or person) and self._chance(0.7 if known else 0.25 if role == "S" else 0.12):
            # Where somebody is known, a new "he" or "she" would rather be taken for them.
            others = ("I", "I", "you", "you", "we", "they", "he", "she")[
                : 6 if self._known or self._nested else 8
            ]
            filler = self._pick(known or [_PRONOUNS_OF[self._pick(others)]])
            if _self(filler) not in map(_self, roles.values()):
                self._has_it = self._has_it or filler.english[0] == "it"
                self._mentions.append(filler)
                return filler
        kinds = _KINDS.get(role, ("definite",))
        if "S" in roles and roles["S"].kind == "no":
            kinds = tuple(kind for kind in kinds if kind != "no")
        if negated:
            kinds = ("definite", "negated") if role == "A" else ("definite",)
        # "Her" before a noun without an article would read like a possessive.
        if (role == "A" and verb.governs[role] == ("", 0)) or ("D" in roles and roles["D"].kind == "pronoun"):
            kinds = ("definite",)
        nouns = [noun for noun in verb.fillers[role] if noun.english[0] not in self._used]
        if role in "ADP":
            nouns = [noun for noun in nouns if self._fits((verb.name, noun.german[0][0]))]
        noun = self._pick(nouns)
        if role in "ADP":
            self._combinations.add((verb.name, noun.german[0][0]))
        return self._describe(noun, self._pick(kinds), 0.1 if role in "LR" else 0.3)

    def _describe(self, noun: Noun, kind: str, plurals: float) -> Phrase:
        """Puts a determiner of a kind, and perhaps an adjective, before a noun."""
        self._used.add(noun.english[0])
        plural = bool(noun.german[1][0]) and self._chance(plurals)
        several = plural or "drink" in noun.classes
        if kind == "definite":
            owned = "stranger" not in noun.classes and self._chance(0.25)
            determiner = self._pick(
                _POSSESSIVES if owned else ("the",) * 7 + ("these" if plural else "this",)
            )
        elif kind == "indefinite":
            determiner = self._pick(("", "", "many", "two", "three")) if plural else "" if several else "a"
        else:
            determiner = "no" if kind == "no" else "not" if several else "not a"
        adjective = self._adjective(noun) if self._chance(0.35) else ""
        result = phrase(determiner, noun.english[0], adjective, plural)
        self._neuters += not plural and not noun.classes & {"he", "she"}
        self._mentions += [result] if kind in ("definite", "indefinite") else []
        return result

    def _adjective(self, noun: Noun) -> str:
        """Returns a new adjective for a noun, or nothing if there is none."""
        options = [
            (english, (_STEMS[english].partition("/")[0], noun.german[0][0]))
            for english in _adjectives(noun.english[0])
        ]
        options = [option for option in options if option[0] not in self._used and self._fits(option[1])]
        if not options:
            return ""
        english, combination = self._pick(options)
        self._used.add(english)
        self._combinations.add(combination)
        return english

    def _predicate(self, subject: Phrase) -> Phrase:
        noun = subject.noun or NOUNS["man"]
        if subject.kind == "pronoun":
            # "It is cold" could speak of the weather.
            weather = ("cold", "hot") if subject.english[0] == "it" else ()
            adjective = self._pick(
                [word for word in _adjectives(noun.english[0]) if word not in (*weather, *self._used)]
            )
        else:
            adjective = self._adjective(noun)
        if not adjective:
            raise _DeadEndError
        return word(adjective, _STEMS[adjective].partition("/")[0])

    def _with_relative(self, antecedent: Phrase, tenses: Sequence[str]) -> Phrase:
        """Adds a relative clause, unless the sentence has enough of them."""
        if self._nested or not self._relatives_left:
            return antecedent
        self._nested = True
        self._relatives_left -= 1
        noun = antecedent.noun
        gaps = [(verb, role, (verb.name, noun.german[0][0])) for verb, role in _gaps(noun.english[0])]
        verb, role, combination = self._pick(
            [gap for gap in gaps if gap[1] not in "ADP" or self._fits(gap[2])]
        )
        self._combinations |= {combination} if role in "ADP" else set()
        tenses = ("past",) if set(tenses) <= set(_PAST) else ("past", "can", *_PRESENT)
        relative = self._clause(tenses, (verb,), {role: antecedent}).relative(role)
        self._nested = False
        return antecedent._replace(relative=relative)

    def _mostly_ordinary(self) -> Sequence[Verb]:
        return _BEING if self._chance(0.1) else _ORDINARY

    def _tenses(self) -> Sequence[str]:
        return _PAST if self._chance(0.4) else _PRESENT + _FUTURE

    def _chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def _pick(self, options: Sequence[_T]) -> _T:
        if not options:
            raise _DeadEndError
        return self._rng.choice(options)

    def _fits(self, combination: tuple[str, str]) -> bool:
        return split_of(combination) in ("train", self._split)


def _self(filler: Phrase) -> str:
    """Returns the pronoun, where "I" and "we" count as one: neither can be the object of the other."""
    return {"we": "I"}.get(filler.english[0], filler.english[0])


def _suits(verb: Verb, tense: str, subject: Phrase) -> bool:
    if "state" in verb.flags:
        return tense in ("present", "past") or (tense == "will" and verb not in _BEING)
    if tense in _MODALS and tense != "will":
        return subject.noun is None or bool(subject.noun.classes & {"person", "animal"})
    if tense == "progressive":
        return "perception" not in verb.flags
    return tense != "past" or verb.english[1] != "-"


def _stand_in(mention: Phrase, verb: Verb, role: str) -> Phrase | None:
    """Returns the pronoun for a mention in a role of a verb, if it makes sense there."""
    noun = mention.noun
    if noun is None:
        return mention if role not in "LR" and "person" in verb.fillers[role][0].classes else None
    person = "person" in noun.classes
    if noun not in verb.fillers[role] or role in "LR" or (role == "P" and not person):
        return None
    for english in ("they",) if mention.person == 3 else ("he", "she") if person else ("it",):
        if mention.person == 3 or not person or english in noun.classes:
            return pronoun(english, noun)
    return None


def _words(pair: Pair) -> set[str]:
    return set(re.findall(r"\w+", f"{pair.english} {pair.german}".casefold()))


@functools.cache
def _familiar() -> Set[str]:
    """Returns the word forms that are frequent in the training sentences."""
    pairs = generate_pairs("train", _FAMILIAR_PAIRS)
    counts = collections.Counter(itertools.chain.from_iterable(map(_words, pairs)))
    return {form for form, count in counts.items() if count >= _FAMILIAR_COUNT}


def generate_sentences(split: str, count: int) -> Iterator[Sentence]:
    """Yields the first `count` sentences of a split, no two alike."""
    rng = random.Random(f"unroll_translation/{split}")
    seen: set[str] = set()
    while len(seen) < count:
        with contextlib.suppress(_DeadEndError):
            sentence = _Writer(rng, split).sentence()
            if sentence.pair.english not in seen and (
                split == "train" or _words(sentence.pair) <= _familiar()
            ):
                seen.add(sentence.pair.english)
                yield sentence


def generate_pairs(split: str, count: int) -> Iterator[Pair]:
    """Yields the first `count` sentences of a split with their translations, no two alike."""
    return (sentence.pair for sentence in generate_sentences(split, count))
