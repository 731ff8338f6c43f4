"""A synchronous grammar of English and German: every rule builds an English text and its translation together.

German moves verbs, objects and adverbs over distance, and its words agree in gender, case and number. The grammar
avoids ambiguous English, so that each sentence has only one translation.

A combination is a verb with the noun of an object, or an adjective with its noun. A hash assigns each combination to
a split, so that every sentence outside "train" has a combination that "train" lacks.
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

from .translation_clauses import Clause, chain, finish, interrogative
from .translation_words import (
    ADJECTIVES,
    ADJECTIVES_OF,
    MODALS,
    NOUNS,
    POSSESSIVES,
    PRONOUNS,
    TIMES,
    VERBS,
    Noun,
    Pair,
    Phrase,
    Verb,
    phrase,
    pronoun,
    word,
)

_T = TypeVar("_T")


class Sentence(NamedTuple):
    """A sentence with its translation, and the combinations in it, named by their German words."""

    pair: Pair
    combinations: frozenset[tuple[str, str]]


class _DeadEndError(Exception):
    """No word fits the sentence that was begun."""


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
# A form is familiar if at least 5 of the first 10,000 training pairs have it.
_FAMILIAR_COUNT, _FAMILIAR_PAIRS = 5, 10_000


@functools.cache
def split_of(combination: tuple[str, str]) -> str:
    """Returns the split of a combination; those of "train" may occur in every split, others only in theirs."""
    # With this separator, "train" has half of the combinations of every word or more.
    digest = hashlib.blake2b("~".join(combination).encode(), digest_size=8).digest()
    return {0: "validation", 1: "test"}.get(int.from_bytes(digest) % 10, "train")


@functools.cache
def _adjectives(name: str) -> Sequence[str]:
    rows = [entries for classes, entries in ADJECTIVES_OF.items() if classes & NOUNS[name].classes]
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
        if not (fits and unambiguous and min(lengths) >= _SHORTEST and max(lengths) <= _LONGEST):
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
        return finish(chain(first, self._clause(inner, verbs).subordinate(english, german)))

    def _report(self) -> Pair:
        tenses = self._tenses()
        clause = self._clause(tenses, _REPORTING, main=True)
        english = self._pick(sorted(clause.verb.flags & {"that", "whether"}))
        self._known = tuple(self._mentions)
        inner = self._clause(("past",) if tenses is _PAST else (*tenses, *_PAST[:4]), _ORDINARY + _BEING)
        content = inner.subordinate(english, "dass" if english == "that" else "ob")
        if clause.front == "S" and self._chance(0.2):
            return finish(chain(clause.question(), content), "?")
        return finish(chain(clause.statement(), content))

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
            times = TIMES.get(tense) or TIMES["past" if tense in _PAST else "future"]
            time, german = self._pick([time for time in times if not (negated and "!" in time[0])])
            roles["T"] = word(time.rstrip("!"), german)
            return clause._replace(front="T" if main and (heavy or self._chance(0.4)) else "S")
        if main and "L" in verb.optional & roles.keys() and not negated and self._chance(0.4):
            return clause._replace(front="L")
        plain = not negated and not heavy and all(filler.kind != "no" for filler in roles.values())
        if plain and f"middle {tense}" in TIMES and self._chance(0.2):
            roles["O"] = word(*self._pick(TIMES[f"middle {tense}"]))
        return clause

    def _fill(self, verb: Verb, role: str, roles: Mapping[str, Phrase], negated: bool) -> Phrase:
        """Returns a pronoun or a noun phrase for a role."""
        known = [stand_in for mention in self._known if (stand_in := _stand_in(mention, verb, role))]
        # Prefer "it" where it is unambiguous, which is rare.
        known = [filler for filler in known if filler.english[0] == "it" and self._neuters == 1] or [
            filler for filler in known if filler.english[0] != "it"
        ]
        person = role not in "LR" and "person" in verb.fillers[role][0].classes
        if (known or person) and self._chance(0.7 if known else 0.25 if role == "S" else 0.12):
            # Once a person was mentioned, a new "he" or "she" would refer to them.
            others = ("I", "I", "you", "you", "we", "they", "he", "she")[
                : 6 if self._known or self._nested else 8
            ]
            filler = self._pick(known or [PRONOUNS[self._pick(others)]])
            if _self(filler) not in map(_self, roles.values()):
                self._has_it = self._has_it or filler.english[0] == "it"
                self._mentions.append(filler)
                return filler
        kinds = _KINDS.get(role, ("definite",))
        if "S" in roles and roles["S"].kind == "no":
            kinds = tuple(kind for kind in kinds if kind != "no")
        if negated:
            kinds = ("definite", "negated") if role == "A" else ("definite",)
        # "Her" before a noun without an article would read as a possessive.
        if (role == "A" and verb.governs[role] == ("", 0)) or ("D" in roles and roles["D"].kind == "pronoun"):
            kinds = ("definite",)
        nouns = [noun for noun in verb.fillers[role] if noun.english[0] not in self._used]
        if role in "ADP":
            nouns = [noun for noun in nouns if self._fits((verb.name, noun.german[0][0]))]
        if self._has_it:
            nouns = [noun for noun in nouns if noun.classes & {"he", "she"}] or nouns
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
            determiner = self._pick(POSSESSIVES if owned else ("the",) * 7 + ("these" if plural else "this",))
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
            (english, (ADJECTIVES[english].partition("/")[0], noun.german[0][0]))
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
        return word(adjective, ADJECTIVES[adjective].partition("/")[0])

    def _with_relative(self, antecedent: Phrase, tenses: Sequence[str]) -> Phrase:
        """Adds a relative clause, unless the sentence has enough of them."""
        if self._nested or not self._relatives_left:
            return antecedent
        self._nested = True
        self._relatives_left -= 1
        noun = antecedent.noun
        assert noun is not None
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
    if tense in MODALS and tense != "will":
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


def generate_sentences(split: str, count: int, seed: int = 0) -> Iterator[Sentence]:
    """Yields the first `count` sentences of a split, no two alike; the data set is made with seed 0."""
    rng = random.Random(f"unroll_translation/{split}/{seed}")
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
