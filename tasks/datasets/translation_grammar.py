"""A synchronous grammar of English and German: each rule builds an English sentence and its translation together.

German moves verbs, objects and adverbs over distance and agrees in gender, case and number, which English
hides. What English leaves open, the grammar avoids, so that an English sentence has one translation only.

A combination is a verb with the noun of an object, or an adjective with its noun. A hash assigns every
combination to a split, so that each sentence outside the training split has one that is new there.
"""

import functools
import hashlib
import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

# Each line has the classes of its nouns, for places also how one is there (@) and gets there (>); then English
# (with an irregular plural after the slash), article, German (with the ending of weak nouns after the slash)
# and German plural, if there is one.
_NOUN_TABLE = """
person he: man/men der Mann Männer | boy der Junge/n Jungen | father der Vater Väter | uncle der Onkel Onkel
person he: teacher der Lehrer Lehrer | neighbour der Nachbar/n Nachbarn | student der Student/en Studenten
person she: woman/women die Frau Frauen | mother die Mutter Mütter | sister die Schwester Schwestern
person she: aunt die Tante Tanten
person: child/children das Kind Kinder | girl das Mädchen Mädchen
animal: dog der Hund Hunde | cat die Katze Katzen | horse das Pferd Pferde | cow die Kuh Kühe
animal: bird der Vogel Vögel | mouse/mice die Maus Mäuse
food: fish der Fisch - | apple der Apfel Äpfel | pear die Birne Birnen | egg das Ei Eier
food: potato die Kartoffel Kartoffeln | cake der Kuchen Kuchen | soup die Suppe Suppen
drink: milk die Milch - | tea der Tee - | water das Wasser -
text: book das Buch Bücher | letter der Brief Briefe | newspaper die Zeitung Zeitungen
text: story die Geschichte Geschichten
furniture openable: door die Tür Türen | window das Fenster Fenster
thing openable: suitcase der Koffer Koffer | box die Kiste Kisten | bottle die Flasche Flaschen
thing: key der Schlüssel Schlüssel | picture das Bild Bilder | cup die Tasse Tassen | glass das Glas Gläser
thing toy: ball der Ball Bälle
thing: flower die Blume Blumen | hat der Hut Hüte | coat der Mantel Mäntel
thing machine: lamp die Lampe Lampen | clock die Uhr Uhren
furniture machine: chair der Stuhl Stühle | table der Tisch Tische | bed das Bett Betten
vehicle machine: car das Auto Autos | bicycle das Fahrrad Fahrräder
vehicle: bus der Bus Busse | train der Zug Züge
place nature @in-in >into-in-acc: garden der Garten Gärten | park der Park Parks
place nature far @in-in >into-in-acc: forest der Wald Wälder
place building room home @in-in >into-in-acc: house das Haus Häuser | room das Zimmer Zimmer
place building room @in-in >into-in-acc: kitchen die Küche Küchen
place far sight home @in-in >into-in-acc: city die Stadt Städte | village das Dorf Dörfer
place building far sight @in-in >to-in-acc: museum das Museum Museen
place building far sight @in-in >to-zu-dat: school die Schule Schulen | church die Kirche Kirchen
place building far @at-an >to-zu-dat: station der Bahnhof Bahnhöfe | bridge die Brücke Brücken
place nature far water @at-an >to-zu-dat: lake der See Seen | river der Fluss Flüsse
place far sight @at-auf >to-auf-acc: market der Markt Märkte
"""

# The stem that takes endings follows the slash where it differs.
_ADJECTIVE_TABLE = """
person: old alt | young jung | tired müde/müd | friendly freundlich | hungry hungrig | clever klug | sad traurig
animal: old alt | young jung | tired müde/müd | hungry hungrig | small klein | big groß | black schwarz | white weiß
food: fresh frisch | cold kalt | cheap billig | expensive teuer/teur | good gut
drink: fresh frisch | cold kalt | hot heiß | good gut
text: old alt | new neu | interesting interessant | long lang | short kurz | sad traurig | beautiful schön
thing: old alt | new neu | small klein | big groß | beautiful schön | heavy schwer | expensive teuer/teur | red rot
furniture: old alt | new neu | small klein | big groß | beautiful schön | white weiß | heavy schwer
vehicle: old alt | new neu | red rot | black schwarz | expensive teuer/teur | cheap billig | fast schnell
building: old alt | new neu | dirty schmutzig
place: small klein | big groß | beautiful schön | famous berühmt
"""

# English base, past and participle with what follows; German infinitive, third person, simple past (where "-"
# stands, the perfect renders the English past) and participle (with an asterisk: after "sein"); then roles.
# S is the English subject, A, D and P are objects, L is a place and R a goal; a question mark: not required.
_VERB_TABLE = """
sleep slept slept | schlafen schläft schlief geschlafen | S=person,animal L?=place
work worked worked | arbeiten arbeitet - gearbeitet | S=person L?=place
get got got up | auf.stehen steht - aufgestanden* | S=person
fall fell fallen asleep | ein.schlafen schläft - eingeschlafen* | S=person,animal L?=place
come came come back | zurück.kommen kommt kam zurückgekommen* | S=person
arrive arrived arrived | an.kommen kommt - angekommen* | S=person,vehicle L?=far
swim swam swum in P | schwimmen schwimmt - geschwommen* | S=person P=in+dat:water
live lived lived | wohnen wohnt - gewohnt | S=person L=home | state
go went gone | gehen geht ging gegangen* | S=person R=place
drive drove driven | fahren fährt fuhr gefahren* | S=person R=far
run ran run | laufen läuft lief gelaufen* | S=person,animal R=place
see saw seen A | sehen sieht sah gesehen | S=person,animal A=person,animal,vehicle,thing,building | perception
buy bought bought A | kaufen kauft - gekauft | S=person A=food,drink,text,thing,vehicle,furniture
eat ate eaten A | essen isst aß gegessen | S=person A=food L?=place
eat ate eaten A | fressen frisst fraß gefressen | S=animal A=food
drink drank drunk A | trinken trinkt trank getrunken | S=person A=drink L?=place
read - read A | lesen liest - gelesen | S=person A=text L?=place
look looked looked for A | suchen sucht - gesucht | S=person A=person,animal,thing,text
find found found A | finden findet fand gefunden | S=person A=animal,thing,text | perception
open opened opened A | auf.machen macht - aufgemacht | S=person A=openable
close closed closed A | zu.machen macht - zugemacht | S=person A=openable
tidy tidied tidied A up | auf.räumen räumt - aufgeräumt | S=person A=room
call called called A | an.rufen ruft rief angerufen | S=person A=person
invite invited invited A | ein.laden lädt - eingeladen | S=person A=person
take took taken A along | mit.nehmen nimmt - mitgenommen | S=person A=person,animal,thing,text
throw threw thrown A away | weg.werfen wirft - weggeworfen | S=person A=thing,text,food
repair repaired repaired A | reparieren repariert - repariert | S=person A=machine
visit visited visited A | besuchen besucht - besucht | S=person A=person,sight
feed fed fed A | füttern füttert - gefüttert | S=person A=animal
carry carried carried A | tragen trägt trug getragen | S=person A=thing R?=building
know knew known A | kennen kennt kannte gekannt | S=person A=person,text,sight | state
have had had A | haben hat hatte gehabt | S=person A=animal,thing,text,vehicle | state
help helped helped D | helfen hilft half geholfen | S=person D=person
thank thanked thanked D | danken dankt - gedankt | S=person D=person
follow followed followed D | folgen folgt - gefolgt* | S=person,animal D=person,animal,vehicle
listen listened listened to D | zu.hören hört - zugehört | S=person D=person
belong belonged belonged to D | gehören gehört - gehört | S=thing,vehicle,animal D=person | state
like liked liked A | gefallen gefällt gefiel gefallen | S=dat:person A=nom:text,thing,vehicle,place | state
give gave given D A | geben gibt gab gegeben | S=person D=person A=food,drink,text,thing
show showed shown D A | zeigen zeigt - gezeigt | S=person D=person A=animal,text,thing,building
read - read A aloud to D | vor.lesen liest - vorgelesen | S=person D=person A=text
give gave given A back to D | zurück.geben gibt gab zurückgegeben | S=person D=person A=text,thing
wait waited waited for P | warten wartet - gewartet | S=person P=auf+acc:person,vehicle L?=far
think thought thought of P | denken denkt dachte gedacht | S=person P=an+acc:person,animal,text
talk talked talked about P | sprechen spricht sprach gesprochen | S=person P=über+acc:person,animal,text,sight
play played played with P | spielen spielt - gespielt | S=person P=mit+dat:person,animal,toy L?=place
dream dreamed dreamed of P | träumen träumt - geträumt | S=person P=von+dat:person,animal,food,thing,vehicle,place
say said said | sagen sagt sagte gesagt | S=person | that
hope hoped hoped | hoffen hofft hoffte gehofft | S=person | that
believe believed believed | glauben glaubt - geglaubt | S=person | that state
know knew known | wissen weiß wusste gewusst | S=person | that whether state
ask asked asked | fragen fragt fragte gefragt | S=person | whether
be was been C | sein ist war gewesen* | S=person,animal,food,drink,text,thing,furniture,vehicle,building | state
"""

# An exclamation mark: not in a negated clause.
_TIME_TABLE = """
present: every day/jeden Tag! | in summer/im Sommer | in the evening/am Abend | on Sundays/sonntags
progressive: now/jetzt | today/heute | at the moment/im Moment
perfect: today/heute | this week/diese Woche
past: yesterday/gestern | last week/letzte Woche | on Monday/am Montag | two days ago/vor zwei Tagen!
future: tomorrow/morgen | next week/nächste Woche | today/heute | on Monday/am Montag
"""
