"""Clauses of English and German: word order and agreement."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from .translation_words import CONTRACTED, ENDINGS, MODALS, NOTHING, Pair, Phrase, Verb, add_s, join


class Clause(NamedTuple):
    """A verb and the fillers of its roles; as a statement it begins with the role `front`.

    Beside the roles of the verb's table, T is a time, O an adverb in the middle, and C a predicate.
    """

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
        return join(lead, *start, *middle, *ends)

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
            return join(lead, finite, *middle, last, end, *relative)
        verbs = end + finite if end == self.verb.german["infinitive"][0] else join(end, finite)
        return join(lead, *middle, last, verbs, *relative)

    def english_role(self, role: str) -> str:
        """Returns the filler of a role in English."""
        filler = self.roles[role]
        preposition = self._place(role)[0] if role in "LR" else ""
        return join(preposition, filler.english[role != "S"], filler.relative.english)

    def german_role(self, role: str) -> str:
        """Returns the filler of a role in German, with commas around a relative clause."""
        filler, (preposition, case) = self.roles[role], self._government(role)
        article, _, rest = filler.german[case].partition(" ")
        start = join(preposition, article)
        # Before a relative clause, the article is stressed and does not contract with the preposition.
        if not filler.relative.german:
            start = CONTRACTED.get(start, start)
        return join(start, rest) + filler.relative.german

    def statement(self, lead: Pair = NOTHING) -> Pair:
        """Returns a main clause, after the subordinate clause `lead` if there is one."""
        if lead != NOTHING:
            return Pair(self.english(f"{lead.english},"), self.german(lead.german))
        if self.front == "S":
            return Pair(self.english(), self.german(self.german_role(self._nominative), self._nominative))
        english = self.english_role(self.front) + ("," if self.front == "L" else "")
        return Pair(self.english(english, self.front), self.german(self.german_role(self.front), self.front))

    def question(self, lead: Pair = NOTHING, gap: str = "") -> Pair:
        """Returns a question that asks for the role `gap` by the words `lead`, or else for yes or no."""
        return Pair(self.english(lead.english, gap, inverted=gap != "S"), self.german(lead.german, gap))

    def subordinate(self, english: str, german: str) -> Pair:
        """Returns a subordinate clause after its conjunction."""
        return Pair(self.english(english), f", {self.german(german, final=True)},")

    def relative(self, gap: str) -> Pair:
        """Returns the clause as a relative clause about the filler of the role `gap`."""
        antecedent, (preposition, case) = self.roles[gap], self._government(gap)
        person = antecedent.noun is not None and "person" in antecedent.noun.classes
        english = "where" if gap == "L" else "who" if gap == "S" and person else "that"
        german = join(preposition, ENDINGS["relative"][case][antecedent.gender])
        return Pair(self.english(english, gap), f", {self.german(german, gap, final=True)},")

    @property
    def _nominative(self) -> str:
        return "S" if self.verb.governs["S"] == ("", 0) else "A"

    def _government(self, role: str) -> tuple[str, int]:
        return self._place(role)[1:] if role in "LR" else self.verb.governs.get(role, ("", 0))

    def _place(self, role: str) -> tuple[str, str, int]:
        """Returns the English and German prepositions of a location or direction, and the German case."""
        noun = self.roles[role].noun
        assert noun is not None
        return noun.place[role]

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
        if tense in MODALS:
            helper, _, link = MODALS[tense][0].partition(" ")
            if helper not in ("want", "have"):
                return helper, join(link, base)
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
            base = re.sub(r"^\w+", lambda match: add_s(match[0]), base)
        return "", past if tense == "past" else base

    def _german_verbs(self) -> tuple[str, str]:
        german, person = self.verb.german, self.roles[self._nominative].person
        prefix, infinitive = german["infinitive"]
        if self.tense in MODALS:
            return MODALS[self.tense][1][person], prefix + infinitive
        if self.tense == "perfect" or (self.tense == "past" and not german["past"]):
            return german["perfect"][1:][person], german["perfect"][0]
        return german["past" if self.tense == "past" else "present"][person], prefix


def interrogative(verb: Verb, role: str, person: bool) -> Pair:
    """Returns the word that asks for a role of a verb."""
    if role in "LR":
        return Pair("where", "wo" if role == "L" else "wohin")
    preposition, case = verb.governs[role]
    if person:
        return Pair("who", join(preposition, ("wer", "wen", "wem")[case]))
    return Pair("what", "wo" + "r" * (preposition[0] in "aeiouü") + preposition if preposition else "was")


def chain(first: Pair, second: Pair) -> Pair:
    return Pair(f"{first.english} {second.english}", f"{first.german} {second.german}")


def finish(pair: Pair, mark: str = ".") -> Pair:
    """Returns a sentence with its capital, commas and closing mark."""
    english = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", pair.english.replace(" can not ", " cannot "))
    texts = (re.sub("( *,)+ *", ", ", text).strip(" ,") for text in (english, pair.german))
    return Pair(*(text[0].upper() + text[1:] + mark for text in texts))
