"""The embedded translation data set: its grammar, and its preparation without a network."""

import collections
import itertools
import os
import re
import socket
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from unroll.tasks.datasets.embedded import translation_grammar as grammar
from unroll.tasks.datasets.embedded.translation_grammar import NOUNS, VERBS, Clause, Pair
from unroll.tasks.datasets.embedded.translations import UnrollTranslation

SPLITS = ("train", "validation", "test")
HELD_OUT = ("validation", "test")
PLURALS = {noun.english[1]: name for name, noun in NOUNS.items() if noun.german[1][0]}
DETERMINERS = ("the", "a", "no", "this", "these", "my", "your", "his", "her", "our", "many", "two", "three")
PRONOUNS = ("I", "you", "he", "she", "we", "they")


def words_of(text):
    return re.findall(r"\w+", text.casefold())


@pytest.fixture(scope="module")
def sentences():
    """Returns the sentences of each split with their combinations."""
    return {
        split: list(grammar.generate_sentences(split, UnrollTranslation.SPLIT_SIZES[split]))
        for split in SPLITS
    }


@pytest.fixture(scope="module")
def splits(sentences):
    return {split: [sentence.pair for sentence in sentences[split]] for split in SPLITS}


# The splits.


def test_splits_have_their_sizes_and_share_no_sentence(splits):
    assert UnrollTranslation.SPLIT_SIZES == {"train": 20_000, "validation": 1_000, "test": 1_000}
    for split, pairs in splits.items():
        assert len({pair.english for pair in pairs}) == len(pairs) == UnrollTranslation.SPLIT_SIZES[split]
    for one, other in itertools.combinations(SPLITS, 2):
        assert {pair.english for pair in splits[one]}.isdisjoint(pair.english for pair in splits[other])
        assert {pair.german for pair in splits[one]}.isdisjoint(pair.german for pair in splits[other])


def test_an_english_sentence_has_one_translation(splits):
    translations = {pair.english: pair.german for pair in itertools.chain(*splits.values())}
    repeated = 0
    for seed in range(1, 4):
        for sentence in grammar.generate_sentences("train", 3_000, seed):
            english, german = sentence.pair
            repeated += english in translations
            assert translations.setdefault(english, german) == german, english
    assert repeated > 30


def test_generation_is_deterministic(splits):
    assert list(grammar.generate_pairs("validation", 100)) == splits["validation"][:100]
    assert list(grammar.generate_pairs("train", 100)) == splits["train"][:100]


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_generation_does_not_depend_on_the_process(splits, seed):
    program = (
        "from unroll.tasks.datasets.embedded.translation_grammar import generate_pairs\n"
        "print(ascii([tuple(pair) for pair in generate_pairs('train', 300)]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == ascii([tuple(pair) for pair in splits["train"][:300]])


def test_every_held_out_sentence_has_a_combination_that_training_lacks(sentences):
    trained = set().union(*(sentence.combinations for sentence in sentences["train"]))
    assert {grammar.split_of(combination) for combination in trained} == {"train"}
    for split in HELD_OUT:
        for sentence in sentences[split]:
            owners = {grammar.split_of(combination) for combination in sentence.combinations}
            assert split in owners
            assert owners <= {"train", split}
        held_out = set().union(*(sentence.combinations for sentence in sentences[split])) - trained
        assert len(held_out) > 80


def test_held_out_adjectives_never_stand_before_their_nouns_in_training(sentences):
    """Looks at the text alone: no combination is only declared, and none is missed."""
    adjectives = {
        form: german.partition("/")[0]
        for german in grammar.ADJECTIVES.values()
        for ending in ("e", "er", "es", "en", "em")
        for form in [german.rpartition("/")[2] + ending]
    }
    nouns = {form: noun.german[0][0] for noun in NOUNS.values() for forms in noun.german for form in forms}
    for split in SPLITS:
        for sentence in sentences[split]:
            german = sentence.pair.german
            words = re.findall(r"\w+", german[0].lower() + german[1:])
            for one, other in itertools.pairwise(words):
                if one in adjectives and other in nouns:
                    combination = (adjectives[one], nouns[other])
                    assert combination in sentence.combinations, sentence
                    assert grammar.split_of(combination) in ("train", split)


def test_held_out_word_forms_are_frequent_in_training(splits):
    for language in ("english", "german"):
        counts = collections.Counter(
            word for pair in splits["train"] for word in words_of(getattr(pair, language))
        )
        assert 350 <= len(counts) <= 1000
        held_out = {
            word for split in HELD_OUT for pair in splits[split] for word in words_of(getattr(pair, language))
        }
        assert min(counts[word] for word in held_out) >= 5


# The sentences.


def test_lengths_vary(splits):
    for pairs in splits.values():
        for texts in zip(*pairs, strict=True):
            lengths = sorted(len(text.split()) for text in texts)
            assert lengths[0] == 4
            assert 8 < lengths[len(lengths) // 2] < 16
            assert 22 <= lengths[-1] <= 25


def test_spelling(splits):
    nouns = {form for noun in NOUNS.values() for forms in noun.german for form in forms if form}
    for pair in itertools.chain.from_iterable(splits.values()):
        assert re.fullmatch(r"[A-Z][A-Za-z]*(,? [A-Za-z]+)*[.?]", pair.english), pair
        assert re.fullmatch(r"[A-ZÄÖÜ][A-Za-zäöüÄÖÜß]*(,? [A-Za-zäöüÄÖÜß]+)*[.?]", pair.german), pair
        assert pair.english[-1] == pair.german[-1]
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", pair.english), pair
        capitals = re.findall(r"(?<= )[A-ZÄÖÜ]\w*", pair.german)
        assert set(capitals) <= nouns | {"Abend", "Moment", "Montag", "Sommer", "Tag", "Tagen", "Woche"}, pair


def test_contractions(splits):
    """A preposition takes the article up, except before a relative clause and where German says it in full."""
    for pair in itertools.chain.from_iterable(splits.values()):
        for full in re.finditer(r"(?<!, )\b((in|an|zu|von) dem|zu der) (\w+ )?[A-ZÄÖÜ]\w+", pair.german):
            assert re.match(r"[^.?]*?, (\w+ )?(der|die|das|den|dem|denen)\b", pair.german[full.end() :]), pair
        assert not re.search(r"\b(im|am|zum|vom) (die|der|das|dem)\b", pair.german)


def test_every_construction_occurs(splits):
    """The shares are of the German sentences of a split."""
    constructions = {
        "weil": (r"\bweil\b", 0.05),
        "obwohl": (r"\bobwohl\b", 0.02),
        "wenn": (r"\bwenn\b", 0.05),
        "als": (r"\bals\b", 0.03),
        "dass": (r", dass\b", 0.05),
        "ob": (r", ob\b", 0.01),
        "relative": (r", (der|die|das|den|dem|denen)\b", 0.1),
        "relative with a preposition": (r", (\w+) (die|den|der|dem|das|denen) .*", 0.02),
        "question": (r"\?$", 0.15),
        "question word": (r"^(Wer|Wen|Wem|Was|Wo\w*|Warum|\w+ w[ea][nm])\b.*\?$", 0.05),
        "adverbial in front": (
            r"^(Gestern|Heute|Morgen|Jetzt|Am|Im|In|An|Auf|Vor|Letzte|Nächste|Jeden) ",
            0.05,
        ),
        "negation": (r"\bnicht\b", 0.06),
        "kein": (r"\b[Kk]ein(e|en|em|er)?\b", 0.03),
        "contraction": (r"\b(im|am|zum|zur|ins|vom)\b", 0.08),
        "perfect": (r"\b([Hh]abe|[Hh]at|[Hh]aben|[Ii]st|[Ss]ind)\b.* (\w*ge\w+(t|en))\b", 0.1),
        "future": (r"\b[Ww](ird|erden|erde|irst)\b", 0.04),
        "modal": (
            r"\b([Kk]ann|[Kk]önnen|[Mm]uss|[Mm]üssen|[Ww]ill|[Ww]ollen|[Mm]öchten?|[Ss]ollten?)\b",
            0.08,
        ),
    }
    for pairs in splits.values():
        for name, (pattern, least) in constructions.items():
            share = sum(re.search(pattern, pair.german) is not None for pair in pairs) / len(pairs)
            assert share > least, name


# The building blocks.


def phrase(text):
    """Returns the noun phrase of the English words; a "not" in front says that its clause is negated."""
    if text in PRONOUNS:
        return grammar.pronoun(text)
    *words, name = text.replace("an ", "a ").split()
    negation = [words.pop(0)] if words[:1] == ["not"] else []
    determiner = [words.pop(0)] if words and words[0] in DETERMINERS else []
    plural = name in PLURALS
    return grammar.phrase(
        " ".join(negation + determiner), PLURALS.get(name, name), " ".join(words), plural=plural
    )


def clause(verb, subject, tense="present", negated=False, front="S", T="", O="", C="", **roles):  # noqa: N803, E741
    """Returns a clause; times, adverbs and predicates are given as "English/German"."""
    fillers = {role: phrase(filler) if isinstance(filler, str) else filler for role, filler in roles.items()}
    words = {role: grammar.word(*text.split("/")) for role, text in {"T": T, "O": O, "C": C}.items() if text}
    subject = phrase(subject) if isinstance(subject, str) else subject
    return Clause(VERBS[verb], tense, {"S": subject, **fillers, **words}, negated, front)


def relative(antecedent, gap, verb, subject="", **details):
    """Returns a noun phrase with a relative clause in which it fills the role `gap`."""
    antecedent = phrase(antecedent)
    if gap == "S":
        return antecedent._replace(relative=clause(verb, antecedent, **details).relative("S"))
    return antecedent._replace(relative=clause(verb, subject, **details, **{gap: antecedent}).relative(gap))


def it(noun):
    return grammar.pronoun("it", NOUNS[noun])


def chain(first, second):
    return Pair(f"{first.english} {second.english}", f"{first.german} {second.german}")


def wh(role, person, verb, subject="he", **details):
    made = clause(verb, subject, **details, **({} if role == "S" else {role: "he"}))
    return made.question(grammar.interrogative(VERBS[verb], role, person), role)


YESTERDAY, TOMORROW, EVENING = "yesterday/gestern", "tomorrow/morgen", "in the evening/am Abend"

# Sentences from the building blocks, with the expected pairs written by hand.
EXACT = [
    # Articles, adjectives, cases.
    (
        clause("sehen", "the old man", A="a small dog").statement(),
        "The old man sees a small dog.",
        "Der alte Mann sieht einen kleinen Hund.",
    ),
    (
        clause("haben", "a clever girl", A="my new books").statement(),
        "A clever girl has my new books.",
        "Ein kluges Mädchen hat meine neuen Bücher.",
    ),
    (
        clause("helfen", "our young neighbour", D="the old women").statement(),
        "Our young neighbour helps the old women.",
        "Unser junger Nachbar hilft den alten Frauen.",
    ),
    (
        clause("trinken", "the students", A="cold water", L="the garden").statement(),
        "The students drink cold water in the garden.",
        "Die Studenten trinken im Garten kaltes Wasser.",
    ),
    (
        clause("kaufen", "these tired boys", "progressive", A="two expensive hats").statement(),
        "These tired boys are buying two expensive hats.",
        "Diese müden Jungen kaufen zwei teure Hüte.",
    ),
    (
        clause("träumen", "many children", P="fresh apples").statement(),
        "Many children dream of fresh apples.",
        "Viele Kinder träumen von frischen Äpfeln.",
    ),
    (
        clause("suchen", "no mother", A="this student").statement(),
        "No mother looks for this student.",
        "Keine Mutter sucht diesen Studenten.",
    ),
    # Prepositions.
    (
        clause("gehen", "the girl", R="the school").statement(),
        "The girl goes to the school.",
        "Das Mädchen geht zur Schule.",
    ),
    (
        clause("fahren", "they", "perfect", R="the market").statement(),
        "They have driven to the market.",
        "Sie sind auf den Markt gefahren.",
    ),
    (
        clause("tragen", "the boy", A="a suitcase", R="the old house").statement(),
        "The boy carries a suitcase into the old house.",
        "Der Junge trägt einen Koffer ins alte Haus.",
    ),
    (
        clause("warten", "I", P="the train", L="the station").statement(),
        "I wait for the train at the station.",
        "Ich warte am Bahnhof auf den Zug.",
    ),
    # Order of objects; argument structure that differs.
    (
        clause("geben", "the man", D="the child", A="an apple").statement(),
        "The man gives the child an apple.",
        "Der Mann gibt dem Kind einen Apfel.",
    ),
    (
        clause("geben", "she", "past", D="he", A=it("key")).statement(),
        "She gave it to him.",
        "Sie gab ihn ihm.",
    ),
    (
        clause("gefallen", "the brothers", "past", A="your cars").statement(),
        "The brothers liked your cars.",
        "Deine Autos gefielen den Brüdern.",
    ),
    # The verb comes second.
    (
        clause("schlafen", "the cat", "past", T=YESTERDAY, L="the kitchen", front="T").statement(),
        "Yesterday the cat slept in the kitchen.",
        "Gestern schlief die Katze in der Küche.",
    ),
    (
        clause("spielen", "the child", P="a ball", L="the park", front="L").statement(),
        "In the park, the child plays with a ball.",
        "Im Park spielt das Kind mit einem Ball.",
    ),
    # Separable verbs, apart and together.
    (
        clause("aufmachen", "the woman", A="the window", T="every day/jeden Tag").statement(),
        "The woman opens the window every day.",
        "Die Frau macht jeden Tag das Fenster auf.",
    ),
    (
        clause("vorlesen", "the teacher", "progressive", A="a story", D="the children").statement(),
        "The teacher is reading a story aloud to the children.",
        "Der Lehrer liest den Kindern eine Geschichte vor.",
    ),
    (
        clause("anrufen", "you", "past", A="your aunt").statement(),
        "You called your aunt.",
        "Du riefst deine Tante an.",
    ),
    (
        clause("einladen", "you", A="we").question(),
        "Do you invite us?",
        "Lädst du uns ein?",
    ),
    (
        chain(
            clause("schlafen", "the dog").statement(),
            clause("aufräumen", "I", A="the room").subordinate("because", "weil"),
        ),
        "The dog sleeps because I tidy the room up.",
        "Der Hund schläft, weil ich das Zimmer aufräume.",
    ),
    # Perfect, future, modal verbs.
    (
        clause("mitnehmen", "my father", "past", A="the keys", T="on Monday/am Montag").statement(),
        "My father took the keys along on Monday.",
        "Mein Vater hat am Montag die Schlüssel mitgenommen.",
    ),
    (
        clause("zurückkommen", "the boys", "perfect", O="already/schon").statement(),
        "The boys have already come back.",
        "Die Jungen sind schon zurückgekommen.",
    ),
    (
        clause("reparieren", "I", "will", A="the old clock", T=TOMORROW).statement(),
        "I will repair the old clock tomorrow.",
        "Ich werde morgen die alte Uhr reparieren.",
    ),
    (
        clause("aufstehen", "the sister", "have", T=TOMORROW, front="T").statement(),
        "Tomorrow the sister has to get up.",
        "Morgen muss die Schwester aufstehen.",
    ),
    (
        clause("füttern", "you", "should", A="the black horses").statement(),
        "You should feed the black horses.",
        "Du solltest die schwarzen Pferde füttern.",
    ),
    (
        clause("schwimmen", "we", "wanted", P="the lake").statement(),
        "We wanted to swim in the lake.",
        "Wir wollten im See schwimmen.",
    ),
    # Negation.
    (
        clause("lesen", "the boy", negated=True, A="the newspaper").statement(),
        "The boy does not read the newspaper.",
        "Der Junge liest die Zeitung nicht.",
    ),
    (
        clause("kaufen", "the woman", "past", negated=True, A="not a red car", T=YESTERDAY).statement(),
        "The woman did not buy a red car yesterday.",
        "Die Frau hat gestern kein rotes Auto gekauft.",
    ),
    (
        clause("essen", "I", negated=True, A="not cold eggs").statement(),
        "I do not eat cold eggs.",
        "Ich esse keine kalten Eier.",
    ),
    (
        clause("warten", "he", "could", negated=True, P="the bus").statement(),
        "He could not wait for the bus.",
        "Er konnte nicht auf den Bus warten.",
    ),
    (
        clause("zumachen", "they", "can", negated=True, A="this door").statement(),
        "They cannot close this door.",
        "Sie können diese Tür nicht zumachen.",
    ),
    (
        clause("sein", "the soup", "past", negated=True, C="cold/kalt").statement(),
        "The soup was not cold.",
        "Die Suppe war nicht kalt.",
    ),
    (
        clause("wegwerfen", "the uncle", A="his hat", O="never/nie").statement(),
        "The uncle never throws his hat away.",
        "Der Onkel wirft seinen Hut nie weg.",
    ),
    # Questions.
    (
        clause("folgen", "the bird", "past", D="the cow").question(),
        "Did the bird follow the cow?",
        "Ist der Vogel der Kuh gefolgt?",
    ),
    (
        clause("wohnen", "your brother", L="the city").question(Pair("why", "warum")),
        "Why does your brother live in the city?",
        "Warum wohnt dein Bruder in der Stadt?",
    ),
    (wh("S", True, "gefallen", A="the church"), "Who likes the church?", "Wem gefällt die Kirche?"),
    (
        wh("D", True, "helfen", "the girls"),
        "Who do the girls help?",
        "Wem helfen die Mädchen?",
    ),
    (wh("P", True, "denken", "she"), "Who does she think of?", "An wen denkt sie?"),
    (wh("P", False, "sprechen", "we", tense="past"), "What did we talk about?", "Worüber sprachen wir?"),
    (
        wh("A", False, "fressen", "the cat", tense="perfect"),
        "What has the cat eaten?",
        "Was hat die Katze gefressen?",
    ),
    (wh("R", False, "gehen", "the man"), "Where does the man go?", "Wohin geht der Mann?"),
    (wh("L", False, "arbeiten", "you"), "Where do you work?", "Wo arbeitest du?"),
    # Subordinate clauses.
    (
        chain(
            clause("sagen", "the mother").statement(),
            clause("zuhören", "the child", "perfect", negated=True, D="she").subordinate("that", "dass"),
        ),
        "The mother says that the child has not listened to her.",
        "Die Mutter sagt, dass das Kind ihr nicht zugehört hat.",
    ),
    (
        chain(
            clause("wissen", "I", negated=True).statement(),
            clause("zurückgeben", "he", "will", A="the book", D="the teacher").subordinate("whether", "ob"),
        ),
        "I do not know whether he will give the book back to the teacher.",
        "Ich weiß nicht, ob er dem Lehrer das Buch zurückgeben wird.",
    ),
    (
        clause("lesen", "the woman", A="a letter", T=EVENING).statement(
            clause("einschlafen", "the children").subordinate("when", "wenn")
        ),
        "When the children fall asleep, the woman reads a letter in the evening.",
        "Wenn die Kinder einschlafen, liest die Frau am Abend einen Brief.",
    ),
    (
        clause("füttern", "the boy", "past", A=it("horse")).statement(
            clause("sein", "the horse", "past", C="hungry/hungrig").subordinate("when", "als")
        ),
        "When the horse was hungry, the boy fed it.",
        "Als das Pferd hungrig war, hat der Junge es gefüttert.",
    ),
    # Pronouns, whose gender English hides.
    (
        chain(
            clause("kaufen", "the student", "past", A="the lamp").statement(),
            clause("sein", it("lamp"), "past", C="expensive/teuer").subordinate("although", "obwohl"),
        ),
        "The student bought the lamp although it was expensive.",
        "Der Student hat die Lampe gekauft, obwohl sie teuer war.",
    ),
    (
        chain(
            clause("suchen", "we", A="the suitcase").statement(),
            clause("gehören", it("suitcase"), D="she").subordinate("because", "weil"),
        ),
        "We look for the suitcase because it belongs to her.",
        "Wir suchen den Koffer, weil er ihr gehört.",
    ),
    (
        chain(
            clause("haben", "they", A="the picture").statement(),
            clause("gefallen", "they", A=it("picture")).subordinate("because", "weil"),
        ),
        "They have the picture because they like it.",
        "Sie haben das Bild, weil es ihnen gefällt.",
    ),
    # Relative clauses.
    (
        clause("helfen", relative("the man", "S", "arbeiten", L="the hotel"), D="we").statement(),
        "The man who works in the hotel helps us.",
        "Der Mann, der im Hotel arbeitet, hilft uns.",
    ),
    (
        clause(
            "lesen", "the girl", "perfect", A=relative("the book", "A", "kaufen", "I", tense="past")
        ).statement(),
        "The girl has read the book that I bought.",
        "Das Mädchen hat das Buch gelesen, das ich gekauft habe.",
    ),
    (
        clause("aufräumen", "she", A=relative("a room", "L", "schlafen", "two cats")).statement(),
        "She tidies up a room where two cats sleep.",
        "Sie räumt ein Zimmer auf, in dem zwei Katzen schlafen.",
    ),
    (
        clause("kennen", "I", A=relative("the children", "D", "folgen", "the dog")).statement(),
        "I know the children that the dog follows.",
        "Ich kenne die Kinder, denen der Hund folgt.",
    ),
    (
        clause("ankommen", relative("the bus", "P", "warten", "the boys"), negated=True).statement(),
        "The bus that the boys wait for does not arrive.",
        "Der Bus, auf den die Jungen warten, kommt nicht an.",
    ),
    (
        clause("gehen", "she", "past", R=relative("the bridge", "P", "träumen", "he")).statement(),
        "She went to the bridge that he dreams of.",
        "Sie ging zu der Brücke, von der er träumt.",
    ),
    (
        clause(
            "einladen", "the aunt", "will", A=relative("a boy", "S", "gefallen", A="the garden")
        ).statement(),
        "The aunt will invite a boy who likes the garden.",
        "Die Tante wird einen Jungen einladen, dem der Garten gefällt.",
    ),
]


@pytest.mark.parametrize(("made", "english", "german"), EXACT, ids=[english for _, english, _ in EXACT])
def test_building_blocks_make_exactly(made, english, german):
    assert grammar.finish(made, english[-1]) == (english, german)


@pytest.mark.parametrize(
    ("determiner", "expected"),
    [
        ("the", "der alte Baum/den alten Baum/dem alten Baum"),
        ("a", "ein alter Baum/einen alten Baum/einem alten Baum"),
        ("no", "kein alter Baum/keinen alten Baum/keinem alten Baum"),
        ("our", "unser alter Baum/unseren alten Baum/unserem alten Baum"),
        ("this", "dieser alte Baum/diesen alten Baum/diesem alten Baum"),
        ("", "alter Baum/alten Baum/altem Baum"),
    ],
)
def test_masculine_declension(determiner, expected):
    made = grammar.phrase(determiner, "suitcase", "old").german
    assert list(made) == expected.replace("Baum", "Koffer").split("/")


@pytest.mark.parametrize(
    ("determiner", "expected"),
    [
        ("the", "die alten N/die alten N/den alten Nn"),
        ("no", "keine alten N/keine alten N/keinen alten Nn"),
        ("her", "ihre alten N/ihre alten N/ihren alten Nn"),
        ("these", "diese alten N/diese alten N/diesen alten Nn"),
        ("many", "viele alte N/viele alte N/vielen alten Nn"),
        ("three", "drei alte N/drei alte N/drei alten Nn"),
        ("", "alte N/alte N/alten Nn"),
    ],
)
def test_plural_declension(determiner, expected):
    assert "/".join(grammar.phrase(determiner, "picture", "old", plural=True).german) == expected.replace(
        "N", "Bilder"
    )


def test_feminine_and_neuter_declension():
    assert grammar.phrase("a", "lamp", "old").german == [
        "eine alte Lampe",
        "eine alte Lampe",
        "einer alten Lampe",
    ]
    assert grammar.phrase("the", "lamp", "old").german == [
        "die alte Lampe",
        "die alte Lampe",
        "der alten Lampe",
    ]
    assert grammar.phrase("my", "book", "old").german == [
        "mein altes Buch",
        "mein altes Buch",
        "meinem alten Buch",
    ]
    assert grammar.phrase("this", "book", "old").german == [
        "dieses alte Buch",
        "dieses alte Buch",
        "diesem alten Buch",
    ]
    assert grammar.phrase("", "milk", "hot").german == ["heiße Milch", "heiße Milch", "heißer Milch"]
    assert grammar.phrase("", "water", "cold").german == ["kaltes Wasser", "kaltes Wasser", "kaltem Wasser"]


def test_nouns_with_other_endings():
    assert grammar.phrase("the", "neighbour").german == ["der Nachbar", "den Nachbarn", "dem Nachbarn"]
    assert grammar.phrase("a", "student").german == ["ein Student", "einen Studenten", "einem Studenten"]
    assert grammar.phrase("the", "car", plural=True).german[2] == "den Autos"
    assert grammar.phrase("the", "garden", plural=True).german[2] == "den Gärten"


# The data set.


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Returns a data directory with small splits, made while nothing may open a connection."""

    def refuse(*_):
        raise AssertionError("the data set must not use the network")

    data_dir = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(UnrollTranslation, "SPLIT_SIZES", {"train": 300, "validation": 30, "test": 20})
        tfds.builder("unroll_translation", data_dir=data_dir).download_and_prepare(file_format="tfrecord")
    return data_dir


def test_prepared_data_set_holds_the_generated_pairs(prepared, splits):
    loaded, info = tfds.load("unroll_translation", data_dir=prepared, with_info=True)
    assert set(info.features) == {"en", "de"}
    assert info.supervised_keys == ("en", "de")
    for split, size in {"train": 300, "validation": 30, "test": 20}.items():
        examples = {
            (example["en"].decode(), example["de"].decode()) for example in loaded[split].as_numpy_iterator()
        }
        assert examples == {tuple(pair) for pair in splits[split][:size]}


def test_package_stays_light():
    program = "import sys, unroll.tasks.datasets.embedded.translation_grammar; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
