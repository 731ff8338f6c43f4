"""A grammar of film and product reviews whose sentiment is certain, but cannot be told by counting words.

A review mixes opinions of its writer, which all point the same way, with facts and with opinions of other
people, which do not count. Within an opinion, words of praise or blame may be negated, outweighed by a
later clause, or quoted only to be contradicted.

A hash of its text assigns every sentence to one split, so that the splits share words but no sentence.
"""

import dataclasses
import enum
import hashlib
import random
import re
from collections.abc import Iterator, Mapping

# A rule names a symbol and, after the colon and on the indented lines below, its alternatives, separated by
# " | " or line breaks. `{+x}` expands symbol x with the current sentiment, `{-x}` with the opposite.
# A symbol whose own name has a sign lists the words of that sentiment.
_SHARED = """
plain:
    {+clause}
    {+clause}, and {+clause}
    I must say that {+clause} | without any doubt, {+clause}
    {aspect} {is} not only {+adjective} but also {+adjective}
    I have never {tried} a {thing} so {+degree}
    the {thing} {is} {+adjective}, {+adjective} and {+adjective}
    I {+verb} it {duration} | I {+verb} {aspect} and {aspect}
    what a {+noun} this {thing} is! | what a {+degree} {thing}!
    a {+degree} {thing} in every respect | to put it briefly: {+degree}
    there is no other word for {aspect} than {+adjective}
negation:
    {+denial}
    {+denial}, and {+denial}
    I must say that {+denial} | without any doubt, {+denial}
    who could call {aspect} {-adjective}? | does anyone really think that {aspect} is {-degree}?
contrast:
    {-side}, but {+side}
    {-side}; even so, {+side}
    although {-side}, {+side}
    granted, {-side}, yet {+side}
    yes, {-side} and {-side}, but {+side}
    I expected a {-degree} {thing} and got a {+degree} one
    what looks {-mild} at first turns out to be {+degree} in the end
    {aspect} seems {-mild} to begin with, but {+mild} {later}
    for all its {-mild} {bit}s, the {thing} {is} {+degree}
quote:
    {critic} called it {-degree}, and I could not disagree more
    {critic} called it {+degree}, and I could not agree more
    {critic} was wrong to call {aspect} {-adjective} | {critic} was right to call {aspect} {+adjective}
    {critic} told me that {-claim}; I found nothing of the kind
    {critic} claims that {-claim}, which is not true | {critic} claims that {+claim}, which is true
    how {critic} can say that {-claim} is beyond me
    do not believe {critic}, who will tell you that {-claim}
    "a {-degree} {thing}," wrote {critic}, but I beg to differ
    "a {+degree} {thing}," wrote {critic}, and I share that view
hearsay:
    {critic} {+verb} it {duration}
    {critic} found {aspect} {+degree}
    {critic} says that {+claim}, but has not {tried} it
    {critic} {+verb} the last {thing} by the same {maker}
    an earlier {thing} by the same {maker} was called {+adjective} by {critic}
    {critic} asked me whether {+claim}

clause: {+claim} | {+claim} | I {+verb} {aspect} | I found {aspect} {+degree}
claim:
    {aspect} {is} {+degree} | {aspect} {is} a {+noun} | the {thing} as a whole {is} {+degree}
    the {thing} {is_made} {+adverb}
denial:
    {aspect} {is} not exactly {-mild} | {aspect} isn't {-mild} at all | {aspect} {is} never {-mild}
    {aspect} {is} anything but {-adjective} | {aspect} {is} far from {-adjective}
    nobody could call {aspect} {-adjective} | nobody who has {tried} it will find {aspect} {-adjective}
    it is hardly a {-noun} | {aspect} {is} by no means a {-noun}
    there {is} nothing {-mild} about {aspect} | at no point did {aspect} seem {-mild}
    I cannot say that I {-verb} {aspect} | I didn't find {aspect} {-mild}
    I would not go so far as to call {aspect} {-adjective}
    it does not have a single {-mild} {bit} | I looked in vain for a {-mild} {bit}
side: {+clause} | {+clause} | {+denial}

degree: {+mild} | {+strong} | {very} {+mild} | {utterly} {+strong}
adjective: {+mild} | {+strong}
mild: {+general} | {+apt}
is: is | was
very: very | really | truly | thoroughly | remarkably | unusually | extremely
utterly: utterly | absolutely | simply | truly | altogether
critic:
    my sister | my brother | a colleague | {name} from work | our neighbour {name} | the local paper
    a critic on the radio | the woman at the counter | my uncle in {place} | a friend of {name}
    somebody on the internet | a magazine from {place}
name: {first} {last} | {first} {last} | {first}
first:
    Amélie | José | Anna | Peter | Ruth | Omar | Mei | Clara | Łukasz | Ivan | Grace | Martin | Helen | Samir
last: Müller | Novak | Okafor | Lindqvist | Marsh | Tanaka | Harker | Delgado | Weaver | Castellan | Røed
place: Lyon | Genoa | Kraków | Lisbon | Oslo | Seville | Leeds | Vienna | Porto | Ghent | Bergen | São Paulo
day: Monday | Tuesday | Wednesday | Thursday | Friday | Saturday | Sunday
month: January | March | April | June | July | September | October | November
year: 1987 | 1994 | 2003 | 2008 | 2011 | 2016 | 2019 | 2022
number: three | four | five | six | seven | eight | nine | ten | eleven | twelve
tens: twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety
language: English | French | German | Polish | Spanish | Norwegian | Portuguese | Italian

+general: good | pleasant | impressive | satisfying | charming | lovely | delightful | likeable | elegant
-general: bad | poor | disappointing | unpleasant | annoying | irritating | frustrating | ugly | tiresome
+strong:
    brilliant | superb | excellent | wonderful | magnificent | marvellous | outstanding | splendid | fantastic
-strong: terrible | awful | dreadful | horrible | atrocious | abysmal | appalling | ghastly | hopeless
+noun: triumph | delight | joy | gem | masterpiece | treasure | pleasure | marvel | success
-noun: disaster | mess | failure | letdown | flop | disgrace | nightmare | embarrassment | blunder
+verb: loved | enjoyed | adored | admired | liked | appreciated
-verb: hated | disliked | loathed | detested | resented | despised
+adverb: beautifully | flawlessly | wonderfully | splendidly | perfectly | brilliantly
-adverb: badly | poorly | terribly | miserably | dreadfully | horribly
"""

_FILM = """
fact:
    the story follows {person} in {place} who {deed}
    in one strand, {person} {deed} while {person} {deed}
    halfway through, {person} finds {object} in {place} and takes it to {person}
    {name} wrote the script in {month} {year}, and {name} directed it
    it is set in {place} and {place} in {year}, although most of it was shot near {place}
    {name} plays {person} and {name} plays {person}
    it runs for {tens} minutes in {place}, but is {number} minutes longer elsewhere
    {we_saw} {venue} {one_day}
    the actors speak {language} and {language}, and the subtitles are in {language}
    the music was recorded in {place} by {number} players from {place}
    it is based on a {language} novel from {year}, which I have not read
    tickets cost {number} euros on {day}, but not for members of the club
    it was first shown in {place} in {month} and comes out on disc in {month}
    this is not the first {thing} by {name}, but it is the first in {language}
    the last {number} minutes take place in a café in {place}, where {person} meets {person}
    {number} scenes are in black and white, and {number} more were filmed under water
    nobody in the cast is over {tens}, and {name} is only {number}
    the closing titles name {tens} carpenters, {number} drivers and {person}
thing: film | movie | picture | thriller | comedy | drama | western | documentary
aspect:
    the plot | the acting | the script | the dialogue | the soundtrack | the ending | the opening scene
    the pacing | the lighting | the humour | the costume design | the narration
bit: scene | moment | line | minute
tried: seen | watched
maker: director | studio
duration: from the first minute to the last | from start to finish | from the opening titles on
later: once the story gets going | in the second half | after {number} minutes | by the end
is_made: is directed | is edited | is filmed | is put together
we_saw: we saw it at | I saw it at | I watched it with {name} at | we were shown it at
one_day: on {day} evening | in {month}, with {number} other people in the room
venue: the old cinema in {place} | a small festival in {place} | the library | the film club | the town hall
person:
    a widow | a young lawyer | a retired sailor | a schoolteacher | a baker from {place}
    an old clockmaker | a night nurse | a bus driver | a beekeeper | a student called {name} | a judge
deed:
    looks for {object} | inherits {object} | moves into a farmhouse | hides {object} | waits for a letter
    learns {language} | sells {object} | crosses the mountains on foot | builds a boat | returns after a war
object: a suitcase | a violin | a map | a stolen painting | a box of letters | a red bicycle | a diary | a key
+apt:
    gripping | moving | witty | clever | touching | inventive | lively | subtle | funny | original | memorable
-apt:
    dull | boring | tedious | predictable | clumsy | bland | shallow | forgettable | lifeless | naïve | trite
"""

_PRODUCT = """
fact:
    I ordered it on {day}, and the parcel arrived {number} days later
    it came in {box} together with {extra} and {extra}
    it replaces a {thing} that {name} gave us in {year}
    it is sold in {colour}, {colour} and {colour}, but mine is {colour}
    it weighs {tens} grams more than the old one and is {number} centimetres taller
    {part} is made of {material}, and {part} is made of {material}
    the manual is printed in {language}, {language} and {language}, but not in {language}
    according to a note on {part}, it was made in {place} in {month} {year}
    we keep it in {room}, and {name} uses it on {day} and {day}
    I paid {tens} euros for it in a shop in {place}
    the guarantee runs for {number} months and does not cover {part}
    the courier left it with {name} on {day}, because nobody was at home
    I wrote to the firm in {place} to ask about {part}, and {name} answered after {number} days
    over {number} weeks we switched it on {tens} times, never for more than {number} minutes
    there is also a {colour} model with a longer cord, which is only sold in {place}
    inside {box} there was {extra}, although the advertisement did not mention it
    before that, we had a {colour} one from {place} for {number} years
    I set it up on {day} in {number} minutes, with the manual on my knees
thing: kettle | toaster | fan | radio | blender | mixer | coffee grinder | heater | juicer | sewing machine
aspect:
    the handle | the switch | the cable | the base | the finish | the casing | the dial | the stand
    the carrying case | the shape | the display | the packaging
bit: part | detail | feature | element
tried: used | owned | tried
maker: firm | company
duration: from the first day on | every single day | from the moment I unpacked it
later: once you are used to it | after {number} days | by the second week | after a month
is_made: is made | is designed | is built | is put together
box: a cardboard box | a plain brown box | a bag of shredded paper | a wooden crate | a padded envelope
extra: a spare fuse | a cloth | a cleaning brush | a leaflet | a paper bag | a second plug | a sticker
part: the cover | the bottom plate | the rim | the frame | the front panel | the back panel | the foot
colour: white | black | red | green | blue | grey | yellow | silver
material: steel | glass | plastic | aluminium | rubber | bamboo | copper | ceramic
room: the kitchen | the garage | the office | the hall | the cellar | the guest room | the workshop
+apt:
    sturdy | reliable | handy | practical | solid | dependable | clever | neat | durable | sensible | stylish
-apt:
    flimsy | unreliable | awkward | wobbly | impractical | shoddy | fragile | fiddly | clumsy | crude | cheap
"""


def _parse(text: str) -> dict[str, tuple[str, ...]]:
    rules: dict[str, tuple[str, ...]] = {}
    symbol = ""
    for line in filter(None, text.splitlines()):
        if not line.startswith(" "):
            symbol, _, line = line.partition(":")
            rules[symbol] = ()
        rules[symbol] += tuple(filter(None, line.strip().split(" | ")))
    return rules


DOMAINS = tuple(_parse(_SHARED + domain) for domain in (_FILM, _PRODUCT))
_SLOT = re.compile(r"\{([+-]?)(\w+)\}")
_SPLIT_OF_BUCKET = ("train",) * 8 + ("validation", "test")
_SHORTEST, _LONGEST = 5, 105
_MARKUP_SHARE = 0.06


class Kind(enum.StrEnum):
    """The function of a sentence in a review; the value is its start symbol in the grammar."""

    PLAIN = "plain"
    NEGATION = "negation"
    CONTRAST = "contrast"
    QUOTE = "quote"
    HEARSAY = "hearsay"
    FACT = "fact"


_OPINION_WEIGHTS: Mapping[Kind, int] = {Kind.PLAIN: 6, Kind.NEGATION: 3, Kind.CONTRAST: 3, Kind.QUOTE: 2}
_FILLER_WEIGHTS: Mapping[Kind, int] = {Kind.FACT: 7, Kind.HEARSAY: 1}


@dataclasses.dataclass(frozen=True)
class Sentence:
    """One sentence with its closing punctuation."""

    text: str
    kind: Kind


@dataclasses.dataclass(frozen=True)
class Review:
    """A review, its label (whether it is positive) and its sentences."""

    text: str
    positive: bool
    sentences: tuple[Sentence, ...]


def generate_reviews(split: str, count: int) -> Iterator[Review]:
    """Yields the first `count` reviews of a split, positive and negative in turn and no two alike."""
    rng = random.Random(f"unroll_reviews/{split}")
    seen: set[str] = set()
    while len(seen) < count:
        review = _write_review(rng, split, positive=len(seen) % 2 == 0)
        if review.text not in seen:
            seen.add(review.text)
            yield review


def _write_review(rng: random.Random, split: str, positive: bool) -> Review:
    writer = _Writer(rng, split)
    length = rng.randint(_SHORTEST, _LONGEST)
    opinions = [
        writer.sentence(_draw(rng, _OPINION_WEIGHTS), positive)
        for _ in range(rng.randint(1, 1 + length // 40))
    ]
    words = sum(len(sentence.text.split()) for sentence in opinions)
    fillers: list[Sentence] = []
    while words < length:
        fillers.append(writer.sentence(_draw(rng, _FILLER_WEIGHTS), rng.random() < 0.5))
        words += len(fillers[-1].text.split())

    mixed = rng.sample(opinions + fillers, len(opinions) + len(fillers))
    sentences = rng.choice((opinions + fillers, fillers + opinions, mixed))
    gaps = (" ", "<br /><br />") if rng.random() < _MARKUP_SHARE else (" ",)
    text = sentences[0].text + "".join(rng.choice(gaps) + sentence.text for sentence in sentences[1:])
    return Review(text, positive, tuple(sentences))


def _draw(rng: random.Random, weights: Mapping[Kind, int]) -> Kind:
    return rng.choices(list(weights), list(weights.values()))[0]


class _Writer:
    """Writes the sentences of one review, and repeats itself only when it runs out of alternatives."""

    def __init__(self, rng: random.Random, split: str) -> None:
        domain = rng.choice(DOMAINS)
        self._rules = domain | {"thing": (rng.choice(domain["thing"]),)}
        self._rng = rng
        self._split = split
        self._used: set[str] = set()

    def sentence(self, kind: Kind, positive: bool) -> Sentence:
        """Writes a sentence that belongs to the split."""
        while True:
            used = self._used.copy()
            text = _finish(self._expand(kind, positive, used))
            if _split_of(text) == self._split:
                self._used = used
                return Sentence(text, kind)

    def _expand(self, symbol: str, positive: bool, used: set[str]) -> str:
        options = self._rules.get(("+" if positive else "-") + symbol) or self._rules[symbol]
        option = self._rng.choice([option for option in options if option not in used] or options)
        # An option that is only a slot has no words of its own, and counts as used only through its filler.
        if not _SLOT.fullmatch(option):
            used.add(option)
        return _SLOT.sub(lambda slot: self._expand(slot[2], positive != (slot[1] == "-"), used), option)


def _finish(text: str) -> str:
    text = re.sub(r"\ba (?=[aeiouAEIOU])", "an ", text)
    text = re.sub(r"\w", lambda first: first[0].upper(), text, count=1)
    return text if text.endswith(("!", "?")) else text + "."


def _split_of(sentence: str) -> str:
    digest = hashlib.blake2b(sentence.rstrip(".!?").casefold().encode(), digest_size=8).digest()
    return _SPLIT_OF_BUCKET[int.from_bytes(digest) % len(_SPLIT_OF_BUCKET)]
